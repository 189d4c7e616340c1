import { expect, test } from "bun:test";
import { DetachWatch, parseDetachKeys } from "./detach-keys.ts";
import { barText, showProgress } from "./progress.ts";
import { encodeMessage, type ProgressMessage } from "../wire/jsonstream.ts";
import { timestampOf } from "./timestamp.ts";
import { eventLine } from "./events.ts";
import { subnets } from "./network-create.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const keys = (value: string): Uint8Array => Buffer.from(value, "latin1");

test("detach keys", () => {
  expect(parseDetachKeys("ctrl-p,ctrl-q")).toEqual([16, 17]);
  expect(parseDetachKeys("a,ctrl-@,ctrl-\\,ctrl-_")).toEqual([97, 0, 28, 31]);
  expect(() => parseDetachKeys("ctrl-!")).toThrow("Unknown character: 'ctrl-!'");
});

test("what begins the sequence is held back until it is clear that it goes on differently", () => {
  const watch = new DetachWatch([16, 17]);
  expect(text(watch.pass(keys("ab\x10")).bytes)).toBe("ab");
  expect(text(watch.pass(keys("c")).bytes)).toBe("\x10c");
  expect(text(watch.pass(keys("\x10\x10")).bytes)).toBe("\x10");
  const end = watch.pass(keys("\x11rest"));
  expect({ ...end, bytes: text(end.bytes) }).toEqual({ detached: true, bytes: "" });
});

async function drawn(messages: ProgressMessage[], terminal: boolean): Promise<string> {
  let out = "";
  async function* body(): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    for (const message of messages) yield Buffer.from(encodeMessage(message));
  }
  await showProgress(body(), { terminal, columns: 120, write: (piece) => void (out += piece) });
  return out;
}

const PULL: ProgressMessage[] = [
  { status: "Pulling from library/x", id: "latest" },
  { status: "Pulling fs layer", progressDetail: {}, id: "aaa" },
  { status: "Pulling fs layer", progressDetail: {}, id: "bbb" },
  { status: "Downloading", progressDetail: { current: 512, total: 1024 }, id: "aaa" },
  { status: "Pull complete", progressDetail: {}, id: "aaa" },
  { status: "Pull complete", progressDetail: {}, id: "bbb" },
  { status: "Digest: sha256:1" },
];

test("on a terminal each layer has its line, elsewhere every step without a bar is one", async () => {
  expect(await drawn(PULL, false)).toBe(
    "latest: Pulling from library/x\naaa: Pulling fs layer\nbbb: Pulling fs layer\naaa: Pull complete\nbbb: Pull complete\nDigest: sha256:1\n",
  );
  const up = (lines: number, line: string): string => `\x1b[${lines}A\x1b[2K\r${line}\r\x1b[${lines}B`;
  expect(await drawn(PULL, true)).toBe(
    [
      "latest: Pulling from library/x\n",
      `\n${up(1, "aaa: Pulling fs layer ")}`,
      `\n${up(1, "bbb: Pulling fs layer ")}`,
      up(2, `aaa: Downloading [${"=".repeat(25)}>${" ".repeat(25)}]     512B/1.024kB`),
      up(2, "aaa: Pull complete "),
      up(1, "bbb: Pull complete "),
      "Digest: sha256:1\n",
    ].join(""),
  );
});

test("an error in the stream is thrown with its text", async () => {
  await expect(drawn([{ status: "x" }, { error: "no space", errorDetail: { message: "no space" } }], false).then(String)).rejects.toThrow(
    "no space",
  );
});

test("bars", () => {
  expect(barText({}, 120)).toBe("");
  expect(barText({ current: 2_500_000 }, 120)).toBe("   2.5MB");
  expect(barText({ current: 3, total: 4, units: "files" }, 60)).toBe("3/4 files");
  expect(barText({ current: 10, total: 100, start: 1000 }, 80, 1010)).toBe("     10B/100B 1m30s");
});

test("times of --since and --until", () => {
  const now = new Date("2026-01-02T03:04:05Z");
  expect(timestampOf("since", "", now)).toBe("");
  expect(timestampOf("since", "1700000000.5", now)).toBe("1700000000.5");
  expect(timestampOf("since", "10m", now)).toBe(`${now.getTime() / 1000 - 600}.000000000`);
  expect(timestampOf("since", "2026-01-02T03:04:05.25Z", now)).toBe(`${now.getTime() / 1000}.250000000`);
  expect(timestampOf("since", "2026-01-02T04:04:05+01:00", now)).toBe(`${now.getTime() / 1000}.000000000`);
  expect(() => timestampOf("until", "foo", now)).toThrow('invalid value for "until": failed to parse value as time or duration: "foo"');
});

test("an event is a line, its attributes sorted, its time in full", () => {
  const event = { Type: "container", Action: "create", Actor: { ID: "abc", Attributes: { name: "t", image: "i" } } } as const;
  const line = eventLine({ event, nanoseconds: 1_795_373_364_789_177_609n, text: "" });
  expect(line).toMatch(/^2026-11-22T\d\d:\d\d:24\.789177609(Z|[+-]\d\d:\d\d) container create abc \(image=i, name=t\)$/);
});

test("ranges, gateways and kept addresses find their subnet", () => {
  const flags = {
    subnet: ["10.1.0.0/16", "fd00:1::/64"],
    "ip-range": ["10.1.2.0/24"],
    gateway: ["10.1.0.1", "fd00:1::1"],
    "aux-address": { printer: "10.1.0.9" },
  };
  expect(subnets(flags)).toEqual([
    { Subnet: "10.1.0.0/16", IPRange: "10.1.2.0/24", Gateway: "10.1.0.1", AuxiliaryAddresses: { printer: "10.1.0.9" } },
    { Subnet: "fd00:1::/64", Gateway: "fd00:1::1" },
  ]);
  expect(() => subnets({ ...flags, gateway: ["10.9.0.1"] })).toThrow("no matching subnet for gateway 10.9.0.1");
  expect(() => subnets({ ...flags, subnet: [] })).toThrow("every ip-range or gateway must have a corresponding subnet");
});
