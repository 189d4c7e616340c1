import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rotatedNumbers } from "./log-files.ts";
import { type LogMessage, MESSAGE_BYTES } from "./log-message.ts";
import { type ShipPosition, Spool } from "./log-spool.ts";

const directory = mkdtempSync("/tmp/lighter-spool-");
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

let clock = 0;

/** A line as conmon writes it. */
function line(stream: "stdout" | "stderr", mark: "F" | "P", text: string): string {
  return `2026-11-22T19:30:00.${String(++clock).padStart(9, "0")}+02:00 ${stream} ${mark} ${text}\n`;
}

function rotate(current: string): void {
  for (const number of rotatedNumbers(current)) renameSync(`${current}.${number}`, `${current}.${number + 1}`);
  renameSync(current, `${current}.1`);
  writeFileSync(current, "");
}

function textOf({ stream, text }: LogMessage): string {
  return `${stream} ${Buffer.from(text).toString()}`;
}

/** As it is stored and read again. */
function stored(position: ShipPosition): ShipPosition {
  return JSON.parse(JSON.stringify(position)) as ShipPosition;
}

describe("a log that is sent away", () => {
  test(`goes on where it was, once each, through rotations and restarts (seed ${SEED})`, async () => {
    for (let seed = SEED; seed < SEED + 40; seed++) {
      const random = randomFrom(seed);
      const current = join(directory, `log-${seed}`);
      writeFileSync(current, "");
      const expected: string[] = [];
      const found: string[] = [];
      const begun = new Map<number, string>();
      let spool = new Spool(current, undefined);
      let position: ShipPosition | undefined;
      for (let step = 0; step < 200; step++) {
        const stream = random(3) === 0 ? 2 : 1;
        const mark = random(4) === 0 ? "P" : "F";
        const text = `${step}${"x".repeat(random(20))}`;
        appendFileSync(current, line(stream === 2 ? "stderr" : "stdout", mark, text));
        const whole = `${begun.get(stream) ?? ""}${text}`;
        begun.set(stream, mark === "P" ? whole : "");
        if (mark === "F") expected.push(`${stream} ${whole}`);
        if (random(25) === 0) rotate(current);
        if (random(8) === 0) {
          const batch = await spool.next();
          found.push(...batch.messages.map(textOf));
          position = stored(batch.position);
        }
        // What had been read and not stored is read again.
        if (random(20) === 0) {
          spool.close();
          spool = new Spool(current, position);
        }
      }
      found.push(...(await spool.next()).messages.map(textOf));
      found.push(...spool.rest().messages.map(textOf));
      spool.close();
      for (const [stream, text] of begun) if (text !== "") expected.push(`${stream} ${text}`);
      expect({ seed, found: found.toSorted() }).toEqual({ seed, found: expected.toSorted() });
      expect(found.slice(0, -2)).toEqual(expected.slice(0, found.length - 2));
    }
  }, 60_000);

  test("a line that is too long for one message is cut where Docker cuts it", async () => {
    const current = join(directory, "long");
    writeFileSync(current, "");
    const spool = new Spool(current, undefined);
    for (const [index, length] of [8000, 8000, 8000, 8000, 3000].entries())
      appendFileSync(current, line("stdout", index < 4 ? "P" : "F", "y".repeat(length)));
    const { messages } = await spool.next();
    spool.close();
    expect(messages.map(({ text }) => text.length)).toEqual([MESSAGE_BYTES, MESSAGE_BYTES, 35_000 - 2 * MESSAGE_BYTES]);
    expect(messages.map(({ partial }) => [partial?.ordinal, partial?.last])).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ]);
    expect(new Set(messages.map(({ partial }) => partial?.id)).size).toBe(1);
  });

  test("a file that is gone is told, and what comes after it is sent", async () => {
    const current = join(directory, "gone");
    writeFileSync(current, line("stdout", "F", "first"));
    const spool = new Spool(current, undefined);
    const position = stored((await spool.next()).position);
    spool.close();
    appendFileSync(current, line("stdout", "F", "second"));
    rotate(current);
    appendFileSync(current, line("stdout", "F", "third"));
    rmSync(`${current}.1`);
    const next = new Spool(current, position);
    expect((await next.next()).messages.map(textOf)).toEqual(["1 third"]);
    next.close();
  });
});
