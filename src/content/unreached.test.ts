import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { State } from "../state/state.ts";
import { findUnreached } from "./collect.ts";
import type { RootsSql } from "./content.ts";
import { findFreed } from "./freed.ts";
import { openContent } from "./open.ts";
import { insertBlob, insertEdges } from "./rows.ts";

const ROOTS: RootsSql[] = [{ blobs: "SELECT digest FROM registry_links WHERE kind = 'manifest'" }];

/** Images of four blobs each, of which the third and fourth are those of their neighbours, too; every fifth is no image any more. */
function fill(state: State, images: number): void {
  state.write(
    (tx) => {
      for (let at = 0; at < images; at++) {
        const id = digestOf(`image ${at}`);
        insertBlob(tx, { digest: id, size: 100 + at, mediaType: "x" });
        const parts = [`own ${at}`, `config ${at}`, `shared ${at >> 1}`].map(digestOf);
        for (const digest of parts) insertBlob(tx, { digest, size: 5000, mediaType: "x" });
        insertEdges(tx, id, parts);
        if (at % 5 === 4) continue;
        tx.run("INSERT INTO images VALUES (?, 'x', 1, 0, 0)", id);
        tx.run("INSERT INTO image_manifests VALUES (?, ?, ?, 'linux/amd64', ?, 0)", id, id, digestOf(`config ${at}`), digestOf("chain"));
      }
      tx.run("INSERT INTO registry_links VALUES ('a', ?, 'manifest', 'x', 0, 0, 0, NULL)", digestOf("image 4"));
    },
    { durable: false },
  );
}

test.each([20, 1200])("another thread finds of %d images what this one would", async (images) => {
  const dataRoot = await mkdtemp(join(tmpdir(), "lighter-unreached-"));
  const state = new State(join(dataRoot, "state.db"));
  try {
    const content = await openContent({ dataRoot, state, roots: ROOTS });
    fill(state, images);
    const some = [1, 2, 3].map((at) => digestOf(`image ${at}`));
    const unreached = findUnreached(state, ROOTS);
    expect(unreached.blobs.length).toBeGreaterThanOrEqual(9);
    expect(await content.collect({ dryRun: true })).toEqual(unreached);
    expect(await content.reclaimable()).toBe(findUnreached(state, ROOTS, "used images").bytes);
    expect(await content.freed(some)).toEqual(await findFreed(state, ROOTS, some));
    // What was written a moment ago counts.
    insertImageAgain(state);
    expect(await content.collect({ dryRun: true })).toEqual(findUnreached(state, ROOTS));
    expect((await content.collect({ dryRun: true })).blobs.length).toBeLessThan(unreached.blobs.length);
  } finally {
    state.close();
    await rm(dataRoot, { recursive: true, force: true });
  }
});

function insertImageAgain(state: State): void {
  state.write((tx) => void tx.run("INSERT INTO images VALUES (?, 'x', 1, 0, 0)", digestOf("image 9")), { durable: false });
}
