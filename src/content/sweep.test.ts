import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { findUnreached } from "./collect.ts";
import type { RootsSql } from "./content.ts";
import { seeded, type Random } from "./random-tree-fixture.ts";
import { RowLease } from "./lease.ts";
import { insertBlob, insertEdges } from "./rows.ts";
import { sweepBlobs } from "./sweep.ts";

const seed = Number(process.env["SEED"] ?? process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 1_000_000);
const ROOTS: RootsSql[] = [
  {
    blobs: "SELECT digest FROM registry_links WHERE kind = 'manifest'",
    holds: "EXISTS (SELECT 1 FROM registry_links WHERE registry_links.digest = blobs.digest AND kind = 'manifest')",
  },
  { blobs: "SELECT value_json FROM settings WHERE key LIKE 'wanted%'" },
];

async function open(): Promise<{ state: State } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "lighter-sweep-"));
  const state = new State(join(folder, "state.db"));
  return {
    state,
    async [Symbol.asyncDispose]() {
      state.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Blobs that refer to blobs before them, some of them roots of one kind or another. */
function fill(state: State, random: Random, count: number): Digest[] {
  const digests = Array.from({ length: count }, (_, at) => digestOf(`${seed} ${at}`));
  state.write(
    (tx) => {
      for (const [at, digest] of digests.entries()) {
        insertBlob(tx, { digest, size: at + 1, mediaType: "x" });
        if (at > 0) insertEdges(tx, digest, [...new Set(Array.from({ length: random(4) }, () => digests[random(at)] as Digest))]);
        if (random(10) === 0) tx.run("INSERT INTO registry_links VALUES ('a', ?, 'manifest', 'x', 0, 0, 0, NULL)", digest);
        if (random(50) === 0) tx.run("INSERT INTO settings VALUES (?, ?)", `wanted${at}`, digest);
      }
    },
    { durable: false },
  );
  return digests;
}

test(`what goes is what no root reaches, and nothing is left for a second look (seed ${seed})`, async () => {
  for (const count of [0, 1, 250, 251, 3000]) {
    await using shop = await open();
    const { state } = shop;
    fill(state, seeded(seed + count), count);
    using lease = new RowLease(state, "test", "boot");
    const some = state.all<{ digest: Digest }>("SELECT digest FROM blobs ORDER BY digest LIMIT 20").map(({ digest }) => digest);
    for (const digest of some) lease.addBlob(digest);
    const expected = findUnreached(state, ROOTS);
    const told: Digest[] = [];
    const { blobs, bytes } = await sweepBlobs({ state, roots: ROOTS, forgotten: (digests) => told.push(...digests) });
    expect(blobs.toSorted()).toEqual(expected.blobs.toSorted());
    expect(told).toEqual(blobs);
    expect(bytes).toBe(expected.bytes);
    expect(findUnreached(state, ROOTS).blobs).toEqual([]);
    expect((await sweepBlobs({ state, roots: ROOTS })).blobs).toEqual([]);
  }
});

test(`others have their turn, and what they take hold of meanwhile stays with all that it needs (seed ${seed})`, async () => {
  await using shop = await open();
  const { state } = shop;
  const random = seeded(seed);
  fill(state, random, 6000);
  using lease = new RowLease(state, "test", "boot");
  const held = new Set<Digest>();
  let ended = false;
  const needs =
    "WITH RECURSIVE need(digest) AS (SELECT ? UNION SELECT child FROM blob_edges JOIN need ON parent = digest) SELECT digest FROM need";
  const others = async (): Promise<number> => {
    let turns = 0;
    for (; !ended; turns++) {
      const here = state.all<{ digest: Digest }>(
        "SELECT digest FROM blobs WHERE digest > ? ORDER BY digest LIMIT 5",
        digestOf(`${random(1e9)}`),
      );
      for (const { digest } of here) {
        lease.addBlob(digest);
        for (const need of state.all<{ digest: Digest }>(needs, digest)) held.add(need.digest);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    return turns;
  };
  const running = others();
  const { blobs } = await sweepBlobs({ state, roots: ROOTS });
  ended = true;
  expect(await running).toBeGreaterThan(10);
  expect(held.size).toBeGreaterThan(50);
  expect(blobs.length).toBeGreaterThan(100);
  expect(blobs.filter((digest) => held.has(digest))).toEqual([]);
  expect(state.get<{ n: number }>("SELECT COUNT(*) AS n FROM blobs")?.n).toBe(6000 - blobs.length);
});
