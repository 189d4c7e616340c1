import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { appendEvent, eventsAfter, eventsBetween, lastSequence, onEvents, trimEvents } from "./events.ts";
import { MIGRATIONS } from "./migrations.ts";
import { State } from "./state.ts";

let directory: string;
let state: State;
const path = (): string => join(directory, "state.db");
const event = (actor: string, time: bigint) => ({ type: "container", action: "start", actor, attributes: { name: actor }, time }) as const;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lighter-state-"));
  state = new State(path());
});
afterEach(() => {
  state.close();
  rmSync(directory, { recursive: true });
});

test("a transaction that throws leaves nothing, and its callbacks are not called", () => {
  const called: string[] = [];
  const failing = () =>
    state.write(
      (tx) => {
        appendEvent(tx, event("a", 1n));
        tx.afterCommit(() => called.push("after"));
        throw new LighterError("invalid", "stop");
      },
      { durable: true },
    );
  expect(failing).toThrow("stop");
  expect(lastSequence(state)).toBe(0);
  expect(called).toEqual([]);
});

test("a broken UNIQUE constraint is a conflict", () => {
  const insert = () => state.write((tx) => tx.run("INSERT INTO settings VALUES ('k', '1')"), { durable: false });
  insert();
  expect(insert).toThrow(LighterError);
  try {
    insert();
  } catch (error) {
    expect((error as LighterError).kind).toBe("conflict");
  }
});

test("nobody but its owner reads it", () => {
  state.write((tx) => tx.run("INSERT INTO settings VALUES ('k', '1')"), { durable: true });
  for (const file of [path(), `${path()}-wal`]) expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("transactions do not nest", () => {
  const nested = () => state.write(() => state.write(() => 1, { durable: false }), { durable: false });
  expect(nested).toThrow("one is open already");
  expect(state.write(() => 2, { durable: false })).toBe(2);
});

test("what was written is there for the next daemon; a newer schema is refused", () => {
  state.write((tx) => appendEvent(tx, event("a", 5n)), { durable: false });
  const other = new State(path());
  expect(eventsAfter(other, 0).map((found) => found.actor)).toEqual(["a"]);
  other.close();
  const raw = new Database(path());
  raw.run(`PRAGMA user_version=${MIGRATIONS.length + 1}`);
  expect(() => new State(path())).toThrow("use the newer Lighter");
  raw.run(`PRAGMA user_version=${MIGRATIONS.length}`);
  raw.close();
});

test("events keep nanoseconds, are read by sequence and by time, wake listeners after the commit, and are trimmed", async () => {
  const time = 1_795_371_318_998_653_285n;
  const woken = Promise.withResolvers<number>();
  const stop = onEvents(() => woken.resolve(lastSequence(state)));
  state.write((tx) => [event("late", time + 2n), event("early", time)].forEach((draft) => appendEvent(tx, draft)), { durable: false });
  expect(await woken.promise).toBe(2);
  stop();
  expect(eventsAfter(state, 1).map((found) => found.time)).toEqual([time]);
  expect(eventsBetween(state, time, time + 2n).map((found) => found.actor)).toEqual(["early", "late"]);
  state.write((tx) => trimEvents(tx, { before: time + 1n, keep: 10 }), { durable: false });
  expect(eventsAfter(state, 0).map((found) => found.actor)).toEqual(["late"]);
});

test("events of execs are trimmed apart, and never more than asked for at once", () => {
  const actions = ["start", "exec_start: a", "exec_die", "exec_start: b", "die"];
  const drafts = actions.map((action, index) => ({ ...event(action, BigInt(index + 1)), action }));
  state.write((tx) => drafts.forEach((draft) => appendEvent(tx, draft)), { durable: false });
  const left = (): string[] => eventsAfter(state, 0).map((found) => found.action);
  const trim = (bounds: { keep: number; keepExecs: number; limit?: number }): number =>
    state.write((tx) => trimEvents(tx, { before: 0n, ...bounds }), { durable: false });
  expect(trim({ keep: 10, keepExecs: 1, limit: 1 })).toBe(1);
  expect(left()).toEqual(["start", "exec_die", "exec_start: b", "die"]);
  expect(trim({ keep: 10, keepExecs: 1 })).toBe(1);
  expect(left()).toEqual(["start", "exec_start: b", "die"]);
  expect(trim({ keep: 2, keepExecs: 5 })).toBe(1);
  expect(left()).toEqual(["exec_start: b", "die"]);
});
