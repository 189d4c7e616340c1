import { expect, test } from "bun:test";
import { cpSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { State } from "../state/state.ts";
import { openContent } from "./open.ts";

const SIZE = 700_000;

class Closing extends State {
  [Symbol.dispose](): void {
    this.close();
  }
}

function bytesOf(seed: number): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  for (let at = 0; at < SIZE; at++) bytes[at] = (Math.imul(at ^ seed, 0x9e3779b1) >>> 13) & 255;
  return bytes;
}

test("pieces in any order, with crashes between: what was there is found again, and the blob is whole", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-scattered-"));
  const seed = Date.now() % 1_000_000;
  let next = seed;
  const random = (below: number): number => (next = (next * 1103515245 + 12345) % 2147483648) % below;
  const data = bytesOf(seed);
  const digest = digestOf(data);
  let known = 0;
  try {
    for (let life = 0; ; life++) {
      const dataRoot = join(folder, String(life));
      using state = new Closing(join(dataRoot, "state.db"));
      const content = await openContent({ dataRoot, state });
      const ingest = await content.ingest(digest);
      expect(ingest.received, `seed ${seed}, life ${life}`).toBeGreaterThanOrEqual(known);
      for (let step = 0; step < 12; step++) {
        const holes = ingest.holes(SIZE);
        const hole = holes[random(holes.length || 1)];
        if (hole === undefined) break;
        const start = random(3) === 0 ? hole.start : hole.start + random(hole.end - hole.start);
        await ingest.place(start, data.subarray(start, Math.min(hole.end, start + 1 + random(20_000))));
      }
      if (ingest.holes(SIZE).length === 0) {
        using lease = content.lease("test");
        await ingest.commit({ digest, size: SIZE, mediaType: "application/octet-stream" }, lease);
        expect(digestOf(await content.readBlob(digest))).toBe(digest);
        expect(content.usage().partial).toBe(0);
        return;
      }
      // What a daemon leaves that is killed, or every third time one that ends in order: then all of it is known.
      const [orderly, received] = [life % 3 === 0, ingest.received];
      if (orderly) await ingest.suspend();
      // At one moment, as the kernel leaves files: the database is written to beside everything else.
      cpSync(dataRoot, join(folder, String(life + 1)), { recursive: true });
      known = orderly ? received : 0;
      await ingest.suspend();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("begun anew, nothing of the old pieces counts", async () => {
  const dataRoot = await mkdtemp(join(tmpdir(), "lighter-scattered-"));
  const state = new State(join(dataRoot, "state.db"));
  try {
    const content = await openContent({ dataRoot, state });
    const first = await content.ingest("ref");
    await first.place(1000, new Uint8Array(100).fill(1));
    await first.place(0, new Uint8Array(10).fill(1));
    expect(first.holes(1200)).toEqual([
      { start: 10, end: 1000 },
      { start: 1100, end: 1200 },
    ]);
    await first.suspend();
    const second = await content.ingest("ref");
    expect({ offset: second.offset, received: second.received }).toEqual({ offset: 10, received: 110 });
    await second.restart();
    expect(second.holes(1200)).toEqual([{ start: 0, end: 1200 }]);
    await second.write(new Uint8Array(50).fill(2));
    await second.suspend();
    const third = await content.ingest("ref");
    expect({ offset: third.offset, received: third.received }).toEqual({ offset: 50, received: 50 });
    await third.abort();
  } finally {
    state.close();
    await rm(dataRoot, { recursive: true, force: true });
  }
});
