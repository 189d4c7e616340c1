import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { BlockReader } from "./log-blocks.ts";
import { bytesOf, parseLogLine } from "./log-line.ts";
import type { LogSource } from "./log-source.ts";
import { findTail } from "./log-tail.ts";

const directory = mkdtempSync("/tmp/lighter-logs-");
afterAll(() => rmSync(directory, { recursive: true }));

/** A random number from a seed: failures can be seen again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
}

/** Lines as conmon writes them for pieces that a program wrote: newlines end `F` lines, everything else is a `P` line. */
function conmonLines(pieces: { stream: 1 | 2; data: Buffer }[]): Buffer {
  const lines: Buffer[] = [];
  pieces.forEach(({ stream, data }, index) => {
    const time = `2026-11-22T1${index % 10}:30:0${index % 7}.${String(index * 1_237_001)
      .padStart(9, "0")
      .slice(-9)}+02:00`;
    let from = 0;
    while (from < data.length) {
      const end = data.indexOf(10, from);
      const mark = end < 0 ? "P" : "F";
      const text = data.subarray(from, end < 0 ? data.length : end);
      lines.push(Buffer.from(`${time} ${stream === 1 ? "stdout" : "stderr"} ${mark} `), text, Buffer.from("\n"));
      from = end < 0 ? data.length : end + 1;
    }
  });
  return Buffer.concat(lines);
}

function randomPieces(random: (below: number) => number): { stream: 1 | 2; data: Buffer }[] {
  return Array.from({ length: random(40) }, () => {
    const data = Buffer.alloc(random(300));
    for (let at = 0; at < data.length; at++) data[at] = random(8) === 0 ? 10 : random(256);
    return { stream: random(3) === 0 ? 2 : 1, data } as const;
  });
}

/** The lines of a block, without their newlines. */
function linesOf(block: Uint8Array): Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0; from < block.length;) {
    const end = block.indexOf(10, from);
    lines.push(Buffer.from(block.subarray(from, end)));
    from = end + 1;
  }
  return lines;
}

async function readAll(path: string, offset = 0): Promise<{ stream: 1 | 2; data: Uint8Array }[]> {
  const file = await open(path, "r");
  const reader = new BlockReader(file, offset);
  const found: { stream: 1 | 2; data: Uint8Array }[] = [];
  for (let block = await reader.next(); block.length > 0; block = await reader.next()) {
    for (const line of linesOf(block)) {
      const parsed = parseLogLine(line);
      if (parsed !== undefined) found.push({ stream: parsed.stream, data: bytesOf(parsed) });
    }
  }
  await file.close();
  return found;
}

function joined(pieces: { stream: 1 | 2; data: Uint8Array }[], stream: 1 | 2): Buffer {
  return Buffer.concat(pieces.filter((piece) => piece.stream === stream).map(({ data }) => data));
}

describe("log lines", () => {
  test("are taken apart; times are UTC nanoseconds", () => {
    const line = parseLogLine(Buffer.from("2026-11-22T19:30:00.000000007+02:00 stderr P a b "));
    expect(line).toMatchObject({ time: 1_795_368_600_000_000_007n, stream: 2, full: false });
    expect(Buffer.from(line?.text ?? []).toString()).toBe("a b ");
    expect(parseLogLine(Buffer.from("2026-11-22T17:30:00Z stdout F "))).toMatchObject({
      time: 1_795_368_600_000_000_000n,
      stream: 1,
      full: true,
    });
  });

  test("what is none is passed over", () => {
    for (const bad of [
      "",
      "x",
      "2026-11-22T19:30:00.0+02:00 stdout",
      "now stdout F x",
      "2026-11-22T19:30:00.0+02:00 stdlog F x",
      "2026-11-22T19:30:00.0+02:00 stdout X x",
    ])
      expect(parseLogLine(Buffer.from(bad))).toBeUndefined();
  });

  test("bytes come back exactly, whatever was written (200 seeds)", async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const pieces = randomPieces(randomFrom(seed));
      const path = join(directory, "property");
      writeFileSync(path, conmonLines(pieces));
      const found = await readAll(path);
      for (const stream of [1, 2] as const) expect({ seed, data: joined(found, stream) }).toEqual({ seed, data: joined(pieces, stream) });
    }
  });

  test("a line larger than a block, and one that is still being written", async () => {
    const path = join(directory, "large");
    const large = Buffer.alloc(1 << 20, "x");
    const text = conmonLines([{ stream: 1, data: Buffer.concat([large, Buffer.from("\nnext\n")]) }]);
    writeFileSync(path, text.subarray(0, -3));
    const file = await open(path, "r");
    const reader = new BlockReader(file);
    expect(linesOf(await reader.next()).length).toBe(1);
    expect(linesOf(await reader.next())).toEqual([]);
    appendFileSync(path, text.subarray(-3));
    expect(linesOf(await reader.next()).map((line) => line.toString().slice(-6))).toEqual([" F next".slice(-6)]);
    truncateSync(path);
    appendFileSync(path, conmonLines([{ stream: 1, data: Buffer.from("after\n") }]));
    expect(linesOf(await reader.next()).map((line) => line.toString().slice(-5))).toEqual(["after"]);
    await file.close();
  });
});

describe("the tail", () => {
  test("begins where counting all lines says (200 seeds)", async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = randomFrom(seed);
      const pieces = randomPieces(random);
      const wanted = [
        { stdout: true, stderr: true },
        { stdout: true, stderr: false },
        { stdout: false, stderr: true },
      ][random(3)] ?? { stdout: true, stderr: true };
      const count = random(12);
      const path = join(directory, "tail");
      writeFileSync(path, conmonLines(pieces));
      const file = await open(path, "r");
      const { offset } = await findTail(file, count, wanted);
      await file.close();
      const all = (await readAll(path)).filter(({ stream }) => (stream === 1 ? wanted.stdout : wanted.stderr));
      const tail = (await readAll(path, offset)).filter(({ stream }) => (stream === 1 ? wanted.stdout : wanted.stderr));
      expect({ seed, lines: programLines(tail) }).toEqual({ seed, lines: Math.min(count, programLines(all)) });
      // Nothing of the wanted streams is left out in between: the tail is the end of the whole.
      expect(all.slice(all.length - tail.length)).toEqual(tail);
    }
  });

  test("of a large file is read from its end", async () => {
    const path = join(directory, "long");
    writeFileSync(path, conmonLines([{ stream: 1, data: Buffer.from("line of some length\n".repeat(200_000)) }]));
    const file = await open(path, "r");
    const { size } = await file.stat();
    let bytes = 0;
    const source: LogSource = {
      stat: () => file.stat(),
      read: async (...asked) => {
        const answer = await file.read(...asked);
        bytes += answer.bytesRead;
        return answer;
      },
    };
    const { offset } = await findTail(source, 10, { stdout: true, stderr: true });
    expect(bytes).toBeWithin(1, size / 10);
    await file.close();
    expect(offset).toBe(size - (size / 200_000) * 10);
  });
});

/** Lines of a program: groups of pieces of one stream up to the one that ends with a newline, or to the end. */
function programLines(pieces: { stream: 1 | 2; data: Uint8Array }[]): number {
  let count = 0;
  const open = new Set<number>();
  for (const { stream, data } of pieces) {
    if (!open.has(stream)) count++;
    if (data.at(-1) === 10) open.delete(stream);
    else open.add(stream);
  }
  return count;
}
