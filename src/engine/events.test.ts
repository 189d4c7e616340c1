import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendEvent, type EventDraft } from "../state/events.ts";
import { State } from "../state/state.ts";
import { parseFilters } from "../wire/filters.ts";
import { matches, streamEvents } from "./events.ts";

let directory: string;
let state: State;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lighter-events-"));
  state = new State(join(directory, "state.db"));
});
afterEach(() => {
  state.close();
  rmSync(directory, { recursive: true });
});

const write = (...drafts: EventDraft[]) => state.write((tx) => drafts.forEach((draft) => appendEvent(tx, draft)), { durable: false });
const container = (actor: string, action = "start"): EventDraft => ({
  type: "container",
  action,
  actor,
  attributes: { name: `name-${actor}`, image: "app:v1", team: "red" },
});

test("the past comes first, then what happens, none lost or told twice", async () => {
  write(container("aaa1"), container("aaa2"));
  const abort = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of streamEvents(state, { since: 0n, filters: new Map(), signal: abort.signal })) {
      seen.push(event.actor);
      if (event.actor === "aaa1") write(container("aaa3"));
      if (seen.length === 5) abort.abort();
    }
  })();
  await Bun.sleep(1);
  write(container("aaa4"));
  await Bun.sleep(1);
  write(container("aaa5"));
  await reading;
  expect(seen).toEqual(["aaa1", "aaa2", "aaa3", "aaa4", "aaa5"]);
});

test("an end that is a hundred years away is waited for", async () => {
  const abort = new AbortController();
  const until = 4_102_444_800_000_000_000n;
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of streamEvents(state, { until, filters: new Map(), signal: abort.signal })) seen.push(event.actor);
  })();
  await Bun.sleep(20);
  write(container("late"));
  while (seen.length === 0) await Bun.sleep(5);
  abort.abort();
  await reading;
  expect(seen).toEqual(["late"]);
});

test("a long past comes whole, in the order of its times, and others have their turn meanwhile", async () => {
  write(...Array.from({ length: 2500 }, (_, index) => ({ ...container(String(index)), time: BigInt(10 + (index % 2)) })));
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const seen = await Array.fromAsync(streamEvents(state, { since: 0n, until: 20n, filters: new Map() }));
  clearInterval(timer);
  const numbers = seen.map(({ actor }) => Number(actor));
  const even = Array.from({ length: 1250 }, (_, index) => index * 2);
  expect(numbers).toEqual([...even, ...even.map((number) => number + 1)]);
  expect(turns).toBeGreaterThan(0);
});

test("a stream with an end ends by itself", async () => {
  write(container("aaa1"));
  const seen = await Array.fromAsync(streamEvents(state, { since: 0n, until: BigInt(Date.now() + 30) * 1_000_000n, filters: new Map() }));
  expect(seen.map((event) => event.actor)).toEqual(["aaa1"]);
});

test.each([
  ['{"event":["start"]}', true],
  ['{"event":["die","start"]}', true],
  ['{"event":["die"]}', false],
  ['{"type":{"container":true}}', true],
  ['{"type":["image"]}', false],
  ['{"container":["name-abc9"]}', true],
  ['{"container":["abc"]}', true],
  ['{"container":["name-a"]}', true],
  ['{"container":["bc9"]}', false],
  ['{"container":["zzz"]}', false],
  ['{"image":["app"]}', true],
  ['{"image":["app:v2"]}', false],
  ['{"label":["team=red"]}', true],
  ['{"label":["team=blue"]}', false],
  ['{"network":["abc9"]}', false],
  ['{"service":["abc9"]}', false],
  ['{"plugin":["abc9"]}', false],
])("the filter %s lets a container's start pass: %p", (filters, passes) => {
  expect(matches({ ...container("abc9"), sequence: 1, time: 1n }, parseFilters(filters))).toBe(passes);
});

test("an exec's event is found by its first word", () => {
  expect(matches({ ...container("abc9", "exec_start: sh -c ls"), sequence: 1, time: 1n }, parseFilters('{"event":["exec_start"]}'))).toBe(
    true,
  );
});
