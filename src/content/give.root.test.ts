import { afterAll, expect, test } from "bun:test";
import { $ } from "bun";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { State } from "../state/state.ts";
import type { Content, Ingest } from "./content.ts";
import { FileIngest } from "./ingest.ts";
import { openContent } from "./open.ts";
import { placesOf } from "./places.ts";

const work = mkdtempSync(join(tmpdir(), "lighter-give-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function opened(): Promise<{ content: Content; state: State; dataRoot: string }> {
  const dataRoot = mkdtempSync(join(work, "root-"));
  const state = new State(join(dataRoot, "state.db"));
  return { content: await openContent({ dataRoot, state }), state, dataRoot };
}

function bytesOf(size: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) bytes[at] = (Math.imul(at ^ seed, 0x9e3779b1) >>> 13) & 255;
  return bytes;
}

/** Bytes in a buffer of their own, as they come from the network. */
const own = (data: Uint8Array): Uint8Array => new Uint8Array(data);

test("bytes that are given, written and placed in any mixture become the file and its digest", async () => {
  const seed = Date.now() % 1_000_000;
  let next = seed;
  const random = (below: number): number => (next = (next * 1103515245 + 12345) % 2147483648) % below;
  const { content, state } = await opened();
  for (let round = 0; round < 4; round++) {
    const size = 600_000 + random(3_000_000);
    const data = bytesOf(size, seed + round);
    let ingest = await content.ingest(`ref ${round}`);
    while (ingest.offset < size) {
      const at = ingest.offset;
      const end = Math.min(ingest.holes(size)[0]?.end ?? size, at + 1 + random(400_000));
      const way = random(10);
      if (way < 6) await ingest.give(own(data.subarray(at, end)));
      else if (way === 6) await ingest.give(data.slice(at - Math.min(at, 10), end).subarray(Math.min(at, 10)));
      else if (way === 7) await ingest.write(data.subarray(at, end));
      else if (way === 8) await ingest.place(end, data.subarray(end, Math.min(size, end + 1 + random(1000))));
      else {
        expect(await ingest.digest(), `seed ${seed}, round ${round}`).toBe(digestOf(data.subarray(0, at)));
        expect(Buffer.compare(readFileSync(ingest.path).subarray(0, at), data.subarray(0, at))).toBe(0);
        if (random(2) === 0) continue;
        const { received } = ingest;
        await ingest.suspend();
        ingest = await content.ingest(`ref ${round}`);
        expect([ingest.offset, ingest.received], `seed ${seed}, round ${round}`).toEqual([at, received]);
      }
    }
    using lease = content.lease("test");
    const digest = digestOf(data);
    await ingest.commit({ digest, size, mediaType: "application/octet-stream" }, lease);
    expect(digestOf(await content.readBlob(digest)), `seed ${seed}, round ${round}`).toBe(digest);
  }
  state.close();
});

test("what is given and not waited for is kept by a pause; a new beginning and the end of it all forget it", async () => {
  const { content, state } = await opened();
  const data = bytesOf(4_000_000, 1);
  const first = await content.ingest("ref");
  void first.give(own(data.subarray(0, 2_000_000)));
  void first.give(own(data.subarray(2_000_000, 3_000_000)));
  await first.suspend();
  const second = await content.ingest("ref");
  expect(second.offset).toBe(3_000_000);
  await second.give(own(data.subarray(0, 1_000_000)));
  await second.restart();
  expect(second.offset).toBe(0);
  await second.give(own(data));
  expect(await second.digest()).toBe(digestOf(data));
  await second.abort();
  const third = await content.ingest("ref");
  expect(third.offset).toBe(0);
  await third.give(own(data));
  const lease = content.lease("test");
  const wrong: unknown = await third.commit({ digest: digestOf("other"), mediaType: "x" }, lease).catch((error: unknown) => error);
  lease.release();
  expect(wrong).toMatchObject({ kind: "invalid" });
  expect(content.usage()).toEqual({ blobs: 0, layers: 0, partial: 0 });
  state.close();
});

test("who follows the file hears of no bytes that are not in it", async () => {
  const { state, dataRoot } = await opened();
  const data = bytesOf(3_000_000, 2);
  const ingest = await FileIngest.open({ ref: "followed", places: placesOf(dataRoot), state, closed: () => {} });
  const seen: string[] = [];
  ingest.watchers.add({
    grown: (size) => void seen.push(digestOf(readFileSync(ingest.path).subarray(0, size))),
    restarted: () => {},
  });
  const ends = [400_000, 1_500_000, 2_700_000, 3_000_000];
  for (const [index, end] of ends.entries()) await ingest.give(own(data.subarray(ends[index - 1] ?? 0, end)));
  expect(seen).toEqual(ends.map((end) => digestOf(data.subarray(0, end))));
  await ingest.abort();
  state.close();
});

test.skipIf(process.getuid?.() !== 0)(
  "a full disk is told before anything counts as there, and what came in time is gone on with",
  async () => {
    const disk = mkdtempSync(join(work, "disk-"));
    await $`mount -t tmpfs -o size=4m tmpfs ${disk}`.quiet();
    const state = new State(join(work, "full.db"));
    try {
      const content = await openContent({ dataRoot: disk, state });
      const data = bytesOf(12_000_000, 3);
      const ingest = await content.ingest("large");
      const failed = await giveAll(ingest, data).catch((error: unknown) => error);
      expect(failed).toMatchObject({ kind: "no-space", message: 'Cannot write "large": no space left on device' });
      await ingest.suspend();
      const again = await content.ingest("large");
      expect(again.offset).toBeWithin(1_000_000, 4_200_000);
      expect(await again.digest()).toBe(digestOf(data.subarray(0, again.offset)));
      await again.abort();
    } finally {
      state.close();
      await $`umount ${disk}`.quiet().nothrow();
    }
  },
);

async function giveAll(ingest: Ingest, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length; at += 300_000) await ingest.give(own(data.subarray(at, at + 300_000)));
  await ingest.digest();
}
