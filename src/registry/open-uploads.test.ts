import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openContent } from "../content/open.ts";
import { digestOf } from "../oci/digest.ts";
import { State } from "../state/state.ts";
import { localStorage } from "./local-storage.ts";
import { OpenUploads } from "./open-uploads.ts";
import type { Storage } from "./storage.ts";

test("an upload stays open from one request to the next; too many are closed, oldest first, and go on all the same", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-uploads-"));
  const state = new State(join(folder, "state.db"));
  const storage = localStorage(await openContent({ dataRoot: folder, state, roots: [] }), state);
  let opened = 0;
  const counted: Storage = { ...storage, ingest: (ref) => (opened++, storage.ingest(ref)) };
  const uploads = new OpenUploads();
  const bytes = new TextEncoder().encode("half");

  const first = await uploads.take(counted, "first");
  await expect(uploads.take(counted, "first")).rejects.toThrow("another request is writing to it");
  await first.write(bytes);
  expect(uploads.offset("first")).toBe(4);
  await uploads.giveBack("first", first);
  expect(uploads.offset("first")).toBe(4);
  expect(await uploads.take(counted, "first")).toBe(first);
  expect(opened).toBe(1);
  await uploads.giveBack("first", first);

  for (let n = 0; n < 64; n++) await uploads.giveBack(`other ${n}`, await uploads.take(counted, `other ${n}`));
  expect(uploads.offset("first")).toBeUndefined();
  const again = await uploads.take(counted, "first");
  expect([opened, again.offset, await again.digest()]).toEqual([66, 4, digestOf(bytes)]);
  await again.abort();
  uploads.ended("first");
  await uploads.close();
  expect(uploads.offset("other 63")).toBeUndefined();
  expect(storage.isIngesting("other 63")).toBe(true);
  state.close();
  await rm(folder, { recursive: true });
});
