import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { State, type Tx } from "../state/state.ts";
import { cachedBytes, evict } from "./cache-bound.ts";
import { putLink } from "./rows.ts";
import { noteChecked } from "./upstreams.ts";

const IMAGES = 3000;
const IMAGE = 1100;
const SHARED = 5000;

function putImage(tx: Tx, repository: string, name: string): void {
  const [manifest, own, shared] = [digestOf(`manifest ${name}`), digestOf(`layer ${name}`), digestOf("shared")];
  const sizes = [
    [manifest, 100],
    [own, 1000],
    [shared, SHARED],
  ] as const;
  for (const [digest, size] of sizes) {
    tx.run("INSERT OR IGNORE INTO blobs (digest, size, media_type, created) VALUES (?, ?, 'x', 0)", digest, size);
    putLink(tx, { repository, digest, kind: digest === manifest ? "manifest" : "blob", media_type: "x" });
    if (digest !== manifest) tx.run("INSERT OR IGNORE INTO blob_edges (parent, child) VALUES (?, ?)", manifest, digest);
  }
}

test("thousands of manifests go in steps, and what is left is what the bound says", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-bound-"));
  await using closer = new AsyncDisposableStack();
  closer.defer(() => rm(folder, { recursive: true }));
  const state = new State(join(folder, "state.db"));
  closer.defer(() => state.close());
  state.write(
    (tx) => {
      for (let at = 0; at < IMAGES; at++) putImage(tx, `hub/app${at % 7}`, String(at));
      for (let at = 0; at < 7; at++) noteChecked(tx, `hub/app${at}`, "", 1n);
      putImage(tx, "own", "ours");
      // Shown in two repositories: gone from one, it is in the other.
      for (let at = 0; at < 50; at++) putImage(tx, "hub/app0", `twice ${at}`);
      for (let at = 0; at < 50; at++) putImage(tx, "hub/app1", `twice ${at}`);
    },
    { durable: false },
  );
  expect(cachedBytes(state)).toBe(SHARED + (IMAGES + 50) * IMAGE);
  let turns = 0;
  let running = true;
  const count = (): void => {
    turns++;
    if (running) setImmediate(count);
  };
  setImmediate(count);
  const limit = 1_000_000;
  expect(await evict(state, limit)).toBe(true);
  running = false;
  // Requests would have been answered all the time.
  expect(turns).toBeGreaterThan(50);
  const left = cachedBytes(state);
  expect([left <= limit * 0.9, left > limit * 0.9 - 2 * IMAGE]).toEqual([true, true]);
  expect(state.get<{ n: number }>("SELECT COUNT(*) AS n FROM registry_links WHERE repository = 'own'")?.n).toBe(3);
  // No blob is shown without a manifest that needs it, none that is needed has gone.
  const manifests = state.all<{ repository: string }>("SELECT repository FROM registry_links WHERE kind = 'manifest'").length;
  const layers = state.all<{ digest: string }>("SELECT digest FROM registry_links WHERE kind = 'blob' AND digest <> ?", digestOf("shared"));
  expect(layers).toHaveLength(manifests);
  expect(await evict(state, limit)).toBe(false);
  expect(await evict(state, 0)).toBe(true);
  expect(cachedBytes(state)).toBe(0);
}, 60_000);
