import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventsAfter } from "../state/events.ts";
import { type Fixture, openFixture } from "./fixture.ts";

const root = process.getuid?.() === 0;

/** Starts a program with log options. */
async function start(fixture: Fixture, name: string, script: string, config: Record<string, string>): Promise<string> {
  const { id } = await fixture.containers.create(
    name,
    {
      Image: "busybox",
      Cmd: ["sh", "-c", script],
      HostConfig: { NetworkMode: "host", LogConfig: { Type: "json-file", Config: config } },
    },
    {},
  );
  await fixture.containers.start(id);
  return id;
}

function directoryOf(fixture: Fixture, id: string): string {
  return join(fixture.directory, "data/containers", id, "log");
}

function sizes(directory: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const name of readdirSync(directory).sort()) found[name] = statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
  return found;
}

function total(directory: string): number {
  return Object.values(sizes(directory)).reduce((sum, size) => sum + size, 0);
}

/** The hash and length of what `logs` gives. */
async function readHash(fixture: Fixture, name: string, follow: boolean): Promise<{ hash: string; bytes: number }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const { data } of fixture.containers.logs(name, { stdout: true, stderr: true, follow })) {
    hash.update(data);
    bytes += data.length;
  }
  return { hash: hash.digest("hex"), bytes };
}

/** What `seq first last` writes. */
function hashOfNumbers(last: number): { hash: string; bytes: number } {
  const hash = createHash("sha256");
  let bytes = 0;
  for (let from = 1; from <= last; from += 10_000) {
    const text = Array.from({ length: Math.min(10_000, last - from + 1) }, (_, index) => `${from + index}\n`).join("");
    hash.update(text);
    bytes += text.length;
  }
  return { hash: hash.digest("hex"), bytes };
}

describe.skipIf(!root)("logs have bounds", () => {
  let fixture: Fixture;
  beforeAll(async () => void (fixture = await openFixture()));
  afterAll(async () => await fixture.remove());

  test("a program that writes as fast as it can stays within its files and one more", async () => {
    for (const { name, script, size, most: bound } of [
      // Each line of two bytes is one of 47 in the log: what pipe and socket hold of it is some megabytes there.
      { name: "yes", script: "yes", size: 5_000_000, most: 37_000_000 },
      { name: "long", script: "while :; do dd if=/dev/zero bs=64k count=16384 2>/dev/null; done", size: 5_000_000, most: 37_000_000 },
      // What everybody has who says nothing.
      { name: "default", script: "yes", size: 20_000_000, most: 125_000_000 },
      // A file of this size is full in two milliseconds: its writer goes on one packet at a time only.
      { name: "small", script: "while :; do dd if=/dev/zero bs=64k count=16384 2>/dev/null; done", size: 256_000, most: 1_700_000 },
      { name: "lines", script: "yes a-line-of-some-forty-bytes-as-programs-write", size: 256_000, most: 1_900_000 },
    ]) {
      const id = await start(fixture, name, script, { "max-size": String(size), "max-file": "5" });
      const directory = directoryOf(fixture, id);
      let most = 0;
      const began = performance.now();
      for (; performance.now() < began + 2000 || (most <= 4 * size && performance.now() < began + 30_000); await Bun.sleep(5))
        most = Math.max(most, total(directory));
      await stopped(fixture, name);
      expect(most).toBeGreaterThan(4 * size);
      // One file more, and what pipe and socket hold of it; without a bound it would be gigabytes.
      expect(most).toBeLessThan(bound);
      await until(() => total(directory) < 6 * size);
      expect(Object.keys(sizes(directory)).every((file) => /^current(\.[1-5](\.gz)?|\.pack)?$/.test(file))).toBe(true);
    }
  }, 120_000);

  test("follow gives every byte once while files are rotated away under it", async () => {
    const last = 600_000;
    const id = await start(fixture, "follow", `seq 1 ${last}`, { "max-size": "500k", "max-file": "400" });
    const followed = await readHash(fixture, id, true);
    expect(followed).toEqual(hashOfNumbers(last));
    expect(Object.keys(sizes(directoryOf(fixture, id))).length).toBeGreaterThan(5);
    expect(await readHash(fixture, id, false)).toEqual(followed);
    let tail = "";
    for await (const { data } of fixture.containers.logs(id, { stdout: true, stderr: true, follow: false, tail: 30_000 }))
      tail += Buffer.from(data).toString();
    expect(tail.startsWith(`${last - 30_000 + 1}\n`)).toBe(true);
    expect(tail.trimEnd().split("\n").length).toBe(30_000);
  }, 60_000);

  test("truncate of the log's path works under follow, also after a rotation", async () => {
    // It stops five times, until a file says that its log was cut.
    const pause = "[ $((i%50)) -ne 49 -o $i -lt 140 -o $i -gt 350 ] || while ! test -e /tmp/$i; do sleep 0.02; done";
    const script = `i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo number $i; sleep 0.005; ${pause}; done`;
    const id = await start(fixture, "cut", script, { "max-size": "3k", "max-file": "400" });
    const { Pid } = (await fixture.containers.inspect(id)).State ?? {};
    const directory = directoryOf(fixture, id);
    const lines: number[] = [];
    const reading = (async () => {
      for await (const { data } of fixture.containers.logs(id, { stdout: true, stderr: true, follow: true })) {
        const [, number] = /^number (\d+)\n$/.exec(Buffer.from(data).toString()) ?? [];
        lines.push(Number(number));
      }
    })();
    while (!existsSync(join(directory, "current.2"))) await Bun.sleep(10);
    for (const at of [149, 199, 249, 299, 349]) {
      await until(() => lines.at(-1) === at && existsSync(join(directory, "current")));
      truncateSync(join(directory, "current"));
      writeFileSync(`/proc/${Pid}/root/tmp/${at}`, "");
    }
    await reading;
    expect(lines).toEqual(Array.from({ length: 400 }, (_, index) => index + 1));
  }, 60_000);

  test("a full disk costs lines, which are counted, and not the container", async () => {
    const { id } = await fixture.containers.create(
      "full",
      {
        Image: "busybox",
        // The disk is full before anybody looks at it first, so that what is on its way then counts on neither side.
        Cmd: ["sh", "-c", "i=0; while [ $i -lt 400 ]; do seq 10001 10100; i=$((i+1)); test $i -lt 120 || sleep 0.005; done; exit 7"],
        HostConfig: { NetworkMode: "host" },
      },
      {},
    );
    const directory = directoryOf(fixture, id);
    mkdirSync(directory, { recursive: true });
    await Bun.$`mount -t tmpfs -o size=512k tmpfs ${directory}`;
    try {
      await fixture.containers.start(id);
      expect((await fixture.containers.wait(id, "not-running").result).statusCode).toBe(7);
      const lost = (): number[] =>
        eventsAfter(fixture.state, 0).flatMap(({ actor, action, attributes }) =>
          actor === id && action === "log-loss" ? [Number(attributes["lines"])] : [],
        );
      await until(() => lost().length > 0);
      let kept = 0;
      for await (const entry of fixture.containers.logs(id, { stdout: true, stderr: true, follow: false })) kept += entry.data.length / 6;
      expect(kept).toBeGreaterThan(5000);
      const all = (): number => lost().reduce((sum, lines) => sum + lines, 0);
      await until(() => Math.abs(all() - (40_000 - kept)) < 2000);
    } finally {
      await Bun.$`umount ${directory}`;
    }
  }, 60_000);

  test("what is too large when a container starts again goes, from its beginning", async () => {
    const id = await start(fixture, "again", "echo hello", { "max-size": "10k", "max-file": "3" });
    await fixture.containers.wait(id, "not-running").result;
    const directory = directoryOf(fixture, id);
    const line = "2026-11-22T19:30:00.000000007+02:00 stdout F";
    for (let n = 0; n < 2000; n++) appendFileSync(join(directory, "current"), `${line} ${n}\n`);
    await fixture.containers.start(id);
    await fixture.containers.wait(id, "not-running").result;
    await until(() => total(directory) < 11_000);
    const found: string[] = [];
    for await (const { data } of fixture.containers.logs(id, { stdout: true, stderr: true, follow: false }))
      found.push(Buffer.from(data).toString());
    expect(found.at(-1)).toBe("hello\n");
    expect(found.at(-2)).toBe("1999\n");
    expect(found.length).toBeGreaterThan(150);
  }, 60_000);
});

async function stopped(fixture: Fixture, name: string): Promise<void> {
  const { result } = fixture.containers.wait(name, "not-running");
  await fixture.containers.kill(name, "KILL");
  await result;
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 1500) throw new Error("waited in vain");
    await Bun.sleep(20);
  }
}
