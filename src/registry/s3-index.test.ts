import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { State } from "../state/state.ts";
import { restoreIndex, SnapshotTimer } from "./s3-index.ts";

const digest = (number: number): string => `sha256:${number.toString(16).padStart(64, "0")}`;

function insert(state: State, from: number, count: number): void {
  state.write(
    (tx) => {
      for (let number = from; number < from + count; number++) {
        tx.run("INSERT INTO blobs (digest, size, media_type, created) VALUES (?, 1, 'x', 1234567890123456789)", digest(number));
        const link = "INSERT INTO registry_links (repository, digest, kind, media_type, created) VALUES (?, ?, 'blob', 'x', ?)";
        tx.run(link, `r${number % 3}`, digest(number), BigInt(number) + 1_234_567_890_123_456_789n);
      }
    },
    { durable: false },
  );
}

function dump(state: State): unknown {
  const links = "SELECT repository, digest, CAST(created AS TEXT) AS created FROM registry_links ORDER BY repository, digest";
  return [state.all("SELECT digest, CAST(created AS TEXT) AS created FROM blobs ORDER BY digest"), state.all(links)];
}

test("the index comes back whole, read in slices of whatever size, and of one moment though it changes meanwhile", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-index-"));
  const state = new State(join(folder, "state.db"));
  insert(state, 0, 10);
  for (const slice of [1, 3, 10, 1000]) {
    let written = new Uint8Array();
    const timer = new SnapshotTimer(state, async (bytes) => void (written = new Uint8Array(bytes)), slice);
    await timer.now();
    const again = new State(join(folder, `again-${slice}.db`));
    await restoreIndex(again, () => Promise.resolve(written));
    expect(dump(again)).toEqual(dump(state));
    again.close();
  }
  let [next, texts, running] = [10, [] as string[], true];
  const writing = (async () => {
    while (running) {
      insert(state, next++, 1);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const timer = new SnapshotTimer(state, async (bytes) => void texts.push(gunzipSync(bytes).toString()), 2);
  await timer.now();
  running = false;
  await writing;
  const { tables } = JSON.parse(texts[0] ?? "") as { tables: { blobs: unknown[]; registry_links: unknown[] } };
  expect([texts.length, tables.blobs.length]).toEqual([1, tables.registry_links.length]);
  state.close();
  await rm(folder, { recursive: true });
});
