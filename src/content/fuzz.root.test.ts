import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { ArchiveMaker } from "../oci/tar-fuzz-fixture.ts";
import { State } from "../state/state.ts";
import { describeTree } from "./layer-fixture.ts";
import { openContent } from "./open.ts";
import { seeded } from "./random-tree-fixture.ts";
import { unpackTree } from "./trees.ts";

const root = process.getuid?.() === 0;
const seed = Number(process.env["SEED"] ?? process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 1_000_000);
const ROUNDS = process.env["LIGHTER_TEST_FULL"] === "1" ? 20_000 : 400;
// In memory: many small files take long on a busy disk.
const work = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "lighter-fuzz-"));
afterAll(() => rmSync(work, { recursive: true, force: true }), 300_000);

/** What a caller hears of an archive that cannot be unpacked: that it is the archive's fault, in a sentence. */
function expectRefusal(error: unknown): string {
  if (!(error instanceof LighterError) || error.kind !== "invalid") throw error;
  return error.message;
}

test.skipIf(!root)(
  `made-up archives as layers and copied into trees: whole, or refused with nothing left; never outside (SEED=${seed})`,
  async () => {
    const outside = join(work, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "up"), "unharmed");
    const before = [...(await describeTree(outside))];
    const state = new State(join(work, "outside.db"));
    const content = await openContent({ dataRoot: join(outside, "data"), state });
    rmSync(join(outside, "data", "nothing"), { force: true });
    const maker = new ArchiveMaker(seeded(seed));
    const tally = { layers: 0, trees: 0, refused: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      const tar = maker.archive();
      using lease = content.lease("fuzz");
      const blob = await content.writeBlob(tar, MEDIA.ociLayer, lease);
      const chainId = digestOf(tar);
      await content
        .unpack({ chainId, parent: undefined, diffId: chainId, source: { blob: blob.digest }, mediaType: MEDIA.ociLayer, lease })
        .then(
          () => tally.layers++,
          (error: unknown) => {
            expectRefusal(error);
            tally.refused++;
            expect(existsSync(join(outside, "data/layers", chainId.slice(7)))).toBe(false);
          },
        );
      const box = join(work, "box");
      mkdirSync(box, { recursive: true });
      await unpackTree({ root: box, path: "/" }, new Blob([new Uint8Array(tar)]).stream()).then(() => tally.trees++, expectRefusal);
      if (round % 10 === 9) rmSync(box, { recursive: true });
    }
    expect(readdirSync(join(outside, "data/content/unpack"))).toEqual([]);
    await content.collect();
    expect(readdirSync(join(outside, "data/layers"))).toEqual([]);
    state.close();
    rmSync(join(outside, "data"), { recursive: true });
    expect([...(await describeTree(outside))]).toEqual(before);
    expect(Math.min(tally.layers, tally.trees, tally.refused)).toBeGreaterThan(ROUNDS / 50);
  },
  3_600_000,
);
