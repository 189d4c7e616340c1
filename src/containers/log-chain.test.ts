import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, closeSync, mkdtempSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { LogOptions } from "./containers.ts";
import { LogChain } from "./log-chain.ts";
import { cutLog } from "./log-cut.ts";
import { rotatedNumbers } from "./log-files.ts";
import { logLimits } from "./log-limits.ts";
import { readChain } from "./logs.ts";

const directory = mkdtempSync("/tmp/lighter-chain-");
afterAll(() => rmSync(directory, { recursive: true }));

const ALL: LogOptions = { stdout: true, stderr: true, follow: false };
/** Printed with each failure, to see it again. */
const SEED = Number(process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 1_000_000);

function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
}

/** A line as conmon writes it, with random bytes, whole or a piece. */
function randomLine(random: (below: number) => number, second: number): Buffer {
  const text = Buffer.from(Array.from({ length: random(60) }, () => (random(6) === 0 ? 0 : 11 + random(240))));
  const time = `2026-11-22T19:${String(Math.floor(second / 60)).padStart(2, "0")}:${String(second % 60).padStart(2, "0")}.5+02:00`;
  return Buffer.concat([
    Buffer.from(`${time} ${random(3) === 0 ? "stderr" : "stdout"} ${random(2) === 0 ? "F" : "P"} `),
    text,
    Buffer.from("\n"),
  ]);
}

async function read(chain: LogChain, options: LogOptions): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of readChain(chain, options, undefined))
    found.push(`${entry.stream} ${entry.time} ${entry.continues === true} ${Buffer.from(entry.data).toString("latin1")}`);
  return found;
}

describe("a log of several files", () => {
  test(`reads as one file would: all, tails, times (seed ${SEED})`, async () => {
    for (let seed = SEED; seed < SEED + 100; seed++) {
      const random = randomFrom(seed);
      const lines = Array.from({ length: random(60) }, (_, index) => randomLine(random, index));
      const one = join(directory, `one-${seed}`);
      const many = join(directory, `many-${seed}`);
      writeFileSync(one, Buffer.concat(lines));
      const files = 1 + random(5);
      const cuts = Array.from({ length: files - 1 }, () => random(lines.length + 1)).sort((a, b) => a - b);
      for (let index = 0; index < files; index++) {
        const part = lines.slice(index === 0 ? 0 : cuts[index - 1], cuts[index] ?? lines.length);
        writeFileSync(index === files - 1 ? many : `${many}.${files - 1 - index}`, Buffer.concat(part));
      }
      for (const wanted of [ALL, { ...ALL, stdout: false }, { ...ALL, stderr: false }])
        for (const asked of [{}, { tail: 0 }, { tail: random(8) }, { tail: 1000 }, { until: 1_795_368_620_000_000_000n }]) {
          const options = { ...wanted, ...asked };
          const expected = await read(new LogChain(one, { rotations: 0 }), options);
          expect({ seed, asked, found: await read(new LogChain(many, { rotations: 7 }), options) }).toEqual({
            seed,
            asked,
            found: expected,
          });
        }
    }
  }, 60_000);

  test(`is followed through rotations without a gap (seed ${SEED})`, async () => {
    const random = randomFrom(SEED);
    const current = join(directory, "followed");
    const log = { rotations: 3 };
    const lines = Array.from({ length: 3000 }, (_, index) => randomLine(random, index % 3600));
    let over = false;
    const follower = {
      ticket: async () => {
        if (over) return false;
        await Bun.sleep(1);
        return true;
      },
      close: () => undefined,
    };
    let fd = openSync(current, "a");
    const found: string[] = [];
    const reading = (async () => {
      for await (const { stream, data } of readChain(new LogChain(current, log), { ...ALL, follow: true }, follower))
        found.push(`${stream} ${Buffer.from(data).toString("latin1")}`);
    })();
    let late = 0;
    for (const line of lines) {
      writeSync(fd, line);
      if (random(20) === 0) await Bun.sleep(random(2));
      if (late === 0 && random(60) === 0) {
        for (const number of rotatedNumbers(current)) renameSync(`${current}.${number}`, `${current}.${number + 1}`);
        renameSync(current, `${current}.1`);
        log.rotations++;
        late = 1 + random(10);
      } else if (late > 0 && --late === 0) {
        // The monitor changes over some lines after the rename.
        closeSync(fd);
        fd = openSync(current, "a");
      }
    }
    over = true;
    await reading;
    closeSync(fd);
    expect(rotatedNumbers(current).length).toBeGreaterThan(5);
    writeFileSync(join(directory, "whole"), Buffer.concat(lines));
    const whole: string[] = [];
    for await (const { stream, data } of readChain(new LogChain(join(directory, "whole"), log), ALL, undefined))
      whole.push(`${stream} ${Buffer.from(data).toString("latin1")}`);
    expect(found).toEqual(whole);
  }, 60_000);

  test("what is written while somebody reads is not part of the answer", async () => {
    const path = join(directory, "busy");
    const line = (number: number): string => `2026-11-22T19:30:00.5+02:00 stdout F ${number}\n`;
    const before = 20_000;
    for (const [asked, first] of [[{ tail: 3 }, before - 3] as const, [{ tail: before + 5 }, 0] as const, [{}, 0] as const]) {
      writeFileSync(path, Array.from({ length: before }, (_, index) => line(index)).join(""));
      const chain = new LogChain(path, { rotations: 0 });
      const [file] = chain.files;
      if (file === undefined) throw new Error("the log is not there");
      // After each read there is more, the last of it not whole yet.
      chain.files[0] = {
        read: async (...args) => {
          const result = await file.read(...args);
          appendFileSync(path, `${line(-1)}2026-11-22T19:30:00.5+02:00 std`);
          return result;
        },
        stat: () => file.stat(),
        close: () => file.close(),
      };
      const found = await read(chain, { ...ALL, ...asked });
      expect(found.map((entry) => Number(entry.split(" ").at(-1)))).toEqual(
        Array.from({ length: before - first }, (_, index) => first + index),
      );
    }
  });

  test("gaps in the numbers are no end", () => {
    const current = join(directory, "gaps");
    for (const name of ["", ".1", ".3", ".12", ".gz", ".1.cut", ".tmp"]) writeFileSync(`${current}${name}`, "");
    expect(rotatedNumbers(current)).toEqual([12, 3, 1]);
  });

  test("a hole that a truncation left is passed over, from either end", async () => {
    const path = join(directory, "hole");
    const line = "2026-11-22T19:30:00.5+02:00 stdout F after\n";
    writeFileSync(path, Buffer.concat([Buffer.alloc(300_001), Buffer.from(line)]));
    for (const options of [ALL, { ...ALL, tail: 5 }]) expect((await read(new LogChain(path, { rotations: 0 }), options)).length).toBe(1);
  });

  test("cut: the end stays, from the beginning of a line", async () => {
    const path = join(directory, "cut");
    const lines = Array.from({ length: 50_000 }, (_, index) => `line ${index}\n`);
    writeFileSync(path, lines.join(""));
    await cutLog(path, 100_000);
    const left = await Bun.file(path).text();
    expect(left.length).toBeGreaterThan(99_980);
    expect(left.length).toBeLessThanOrEqual(100_000);
    expect(lines.join("").endsWith(`\n${left}`)).toBe(true);
  });
});

describe("log options", () => {
  const of = (Config: Record<string, string>, Type: "json-file" | "local" = "json-file"): object => logLimits({ Type, Config });

  test("are Docker's", () => {
    expect(of({})).toEqual({ maxSize: 20_000_000, maxFiles: 5, compress: true });
    expect(of({ "max-size": "10m" })).toEqual({ maxSize: 10_000_000, maxFiles: 1, compress: false });
    expect(of({ "max-size": "10m" }, "local")).toEqual({ maxSize: 10_000_000, maxFiles: 5, compress: true });
    expect(of({ "max-size": "1.5KiB", "max-file": "3", compress: "true" })).toEqual({ maxSize: 1500, maxFiles: 3, compress: true });
    for (const size of ["-1", "unlimited"]) expect(of({ "max-size": size })).toMatchObject({ maxSize: Infinity });
  });

  test("that mean nothing are refused", () => {
    expect(() => of({ "max-size": "many" })).toThrow("invalid size: 'many'");
    expect(() => of({ "max-size": "0" })).toThrow("max-size must be a positive number");
    expect(() => of({ "max-file": "0" })).toThrow("max-file cannot be less than 1");
    expect(() => of({ "max-file": "x" })).toThrow(`parsing "x": invalid syntax`);
  });
});
