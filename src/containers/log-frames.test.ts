import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { toRfc3339Nano } from "../base/clock.ts";
import { encodeFrame } from "../wire/stdcopy.ts";
import type { LogOptions } from "./containers.ts";
import { Live } from "./live.ts";
import { BlockReader } from "./log-blocks.ts";
import { LogChain } from "./log-chain.ts";
import { openLog } from "./log-files.ts";
import { LogFramer } from "./log-frames.ts";
import { packLogs } from "./log-pack.ts";
import { readChain } from "./logs.ts";
import { readBlocks } from "./log-read.ts";

const directory = mkdtempSync("/tmp/lighter-frames-");
afterAll(() => rmSync(directory, { recursive: true }));

/** Printed with each failure, to see it again. */
const SEED = Number(process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 1_000_000);

function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
}

const ZONES = ["+02:00", "Z", "-11:30", "+00:00"];

/** Lines of a log with random bytes, streams, marks and forms of the time, and some that are none. */
function randomLog(random: (below: number) => number, count: number): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, index) => {
      const fraction = ["", ".5", `.${String(index * 1_234_567 + 1).padStart(9, "0")}`][random(3)] ?? "";
      const time = `2026-11-22T19:${String(Math.floor(index / 60)).padStart(2, "0")}:${String(index % 60).padStart(2, "0")}${fraction}${ZONES[index % 40 < 20 ? 0 : random(4)] ?? ""}`;
      const text = Buffer.from(Array.from({ length: random(4) === 0 ? 300 : random(40) }, () => (random(6) === 0 ? 0 : 11 + random(240))));
      const head = random(20) === 0 ? "no line " : `${time} ${random(3) === 0 ? "stderr" : "stdout"} ${random(3) > 0 ? "F" : "P"} `;
      return Buffer.concat([Buffer.alloc(random(30) === 0 ? 7 : 0), Buffer.from(head), text, Buffer.from("\n")]);
    }),
  );
}

async function concat(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(pieces));
}

describe("answers made of blocks", () => {
  test(`say what the entries say, one by one (seed ${SEED})`, async () => {
    for (let seed = SEED; seed < SEED + 60; seed++) {
      const random = randomFrom(seed);
      const path = join(directory, "frames");
      writeFileSync(path, randomLog(random, random(120)));
      for (const asked of [
        {},
        { stdout: false },
        { since: 1_795_368_620_000_000_000n },
        { until: 1_795_368_620_000_000_000n },
        { tail: 5 },
      ]) {
        const options: LogOptions = { stdout: true, stderr: true, follow: false, ...asked };
        const shown = { framed: random(2) === 0, timestamps: random(2) === 0, details: random(2) === 0 ? "a=b" : undefined };
        const expected: Uint8Array[] = [];
        for await (const { stream, time, data, continues } of readChain(new LogChain(path, { rotations: 0 }), options, undefined)) {
          const [second = "", fraction = ""] = toRfc3339Nano(time).slice(0, -1).split(".");
          const prefix = `${shown.timestamps ? `${second}.${fraction.padEnd(9, "0")}Z ` : ""}${shown.details === undefined ? "" : "a=b "}`;
          const line = Buffer.concat([Buffer.from(continues === true ? "" : prefix), data]);
          expected.push(shown.framed ? encodeFrame(stream, line) : line);
        }
        const framer = new LogFramer({ ...options, ...shown });
        const found: Uint8Array[] = [];
        for await (const block of readBlocks(new LogChain(path, { rotations: 0 }), options, undefined)) {
          found.push(framer.push(block));
          if (framer.over) break;
        }
        expect({ seed, asked, shown, bytes: Buffer.concat(found) }).toEqual({ seed, asked, shown, bytes: Buffer.concat(expected) });
      }
    }
  }, 60_000);
});

describe("a compressed log", () => {
  test(`reads as before: all of it, its end, and by zcat (seed ${SEED})`, async () => {
    const random = randomFrom(SEED);
    const current = join(directory, "packed");
    const text = Buffer.concat(Array.from({ length: 40 }, () => randomLog(random, 1200)));
    writeFileSync(`${current}.2`, text);
    writeFileSync(`${current}.1`, "2026-11-22T21:00:00.000000001+02:00 stdout F last\n");
    writeFileSync(current, "");
    const options: LogOptions = { stdout: true, stderr: true, follow: false };
    const read = (asked: object): Promise<Buffer> =>
      concat(readBlocks(new LogChain(current, { rotations: 2 }), { ...options, ...asked }, undefined));
    const before = [await read({}), await read({ tail: 3 }), await read({ tail: 30_000 })];
    expect(text.length).toBeGreaterThan(3 << 20);
    await packLogs(current, new Live("x"), 1, () => false);
    expect([existsSync(`${current}.2`), existsSync(`${current}.2.gz`), existsSync(`${current}.1`)]).toEqual([false, true, true]);
    expect(gunzipAll(readFileSync(`${current}.2.gz`)).equals(text)).toBe(true);
    expect(
      [await read({}), await read({ tail: 3 }), await read({ tail: 30_000 })].map((all, index) =>
        all.equals(before[index] ?? Buffer.alloc(0)),
      ),
    ).toEqual([true, true, true]);
    const file = openLog(`${current}.2`);
    const reader = file && new BlockReader(file, text.length - 1000);
    expect(text.subarray(-1000).includes(Buffer.from((await reader?.next()) ?? []))).toBe(true);
    file?.close();
  }, 60_000);
});

/** All members, by the standard decoder, which takes the first one alone. */
function gunzipAll(bytes: Buffer): Buffer {
  const texts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 16))
    texts.push(gunzipSync(bytes.subarray(at, at + bytes.readUInt32LE(at + 16))));
  return Buffer.concat(texts);
}
