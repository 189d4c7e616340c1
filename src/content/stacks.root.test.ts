import { afterAll, expect, test } from "bun:test";
import { $ } from "bun";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chainIds, digestOf, hexOf } from "../oci/digest.ts";
import { type Descriptor, MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { describeTar, packedLayer, type PackedLayer, tarOf } from "./layer-fixture.ts";
import { openContent } from "./open.ts";
import { randomizer, StackMaker } from "./stack-fixture.ts";

const able = process.getuid?.() === 0 && Bun.which("umoci") !== null;
const FULL = process.env["LIGHTER_TEST_FULL"] === "1";
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const work = mkdtempSync(join(tmpdir(), "lighter-stacks-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** What umoci unpacks the layers to; undefined for the rare stack that it refuses (a link whose target a member before it took away). */
async function umociTree(layers: readonly PackedLayer[], directory: string): Promise<string | undefined> {
  const blobs = join(directory, "oci/blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (data: string | Uint8Array, mediaType: string): Descriptor => {
    const digest = digestOf(data);
    writeFileSync(join(blobs, hexOf(digest)), data);
    return { mediaType, digest, size: Buffer.byteLength(data) };
  };
  const config = put(
    JSON.stringify({
      os: "linux",
      architecture: "amd64",
      config: {},
      rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    }),
    MEDIA.ociConfig,
  );
  const manifest = put(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.ociManifest,
      config,
      layers: layers.map((layer) => put(layer.packed, MEDIA.ociLayerGzip)),
    }),
    MEDIA.ociManifest,
  );
  const annotations = { "org.opencontainers.image.ref.name": "stack" };
  writeFileSync(join(directory, "oci/index.json"), JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
  writeFileSync(join(directory, "oci/oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const { exitCode } = await $`umoci unpack --image ${join(directory, "oci")}:stack ${join(directory, "bundle")}`.quiet().nothrow();
  return exitCode === 0 ? join(directory, "bundle/rootfs") : undefined;
}

const TAR = ["tar", "--sort=name", "--format=pax", "--numeric-owner", "--xattrs", "-cf", "-", "-C"];

async function treeOf(command: string[]): Promise<Map<string, string>> {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const bytes = await new Response(child.stdout).arrayBuffer();
  if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
  return describeTar(new Uint8Array(bytes));
}

test.if(able)(
  `random stacks look through overlayfs as umoci unpacks them (SEED=${seed})`,
  async () => {
    const rounds = Number(process.env["ROUNDS"] ?? (FULL ? 500 : 12));
    let compared = 0;
    for (let round = 0; round < rounds; round++) {
      const directory = join(work, String(round));
      const maker = new StackMaker(randomizer(seed * 1000 + round));
      const given = Array.from({ length: 4 }, () => maker.layer());
      const layers = given.map((entries) => packedLayer(tarOf(entries)));
      const rootfs = await umociTree(layers, directory);
      if (rootfs === undefined) continue;
      const state = new State(join(directory, "state.db"));
      const content = await openContent({ dataRoot: directory, state });
      const lease = content.lease("test");
      for (const layer of layers) await content.writeBlob(layer.packed, MEDIA.ociLayerGzip, lease);
      const chain = chainIds(layers.map((layer) => layer.diffId));
      const unpacked = await Promise.all(
        layers.map(({ diffId, digest }, index) =>
          content.unpack({
            chainId: chain[index] ?? diffId,
            parent: chain[index - 1],
            diffId,
            source: { blob: digest },
            mediaType: MEDIA.ociLayerGzip,
            lease,
          }),
        ),
      );
      state.close();
      mkdirSync(join(directory, "empty"));
      mkdirSync(join(directory, "merged"));
      const lower = [...unpacked.map((layer) => layer.directory).toReversed(), join(directory, "empty")].join(":");
      const script = `mount -t overlay overlay -o lowerdir=${lower} ${join(directory, "merged")} && exec "$@" ${join(directory, "merged")} .`;
      // mount(8) of Debian 13 would hand all layers to a call that takes 255 bytes.
      const ours = await treeOf(["env", "LIBMOUNT_FORCE_MOUNT2=always", "unshare", "-m", "sh", "-c", script, "sh", ...TAR]);
      const theirs = await treeOf([...TAR, rootfs, "."]);
      const show = given.map((entries) => entries.map(({ path, type, link }) => [path, type, link].filter(Boolean).join(" ")));
      // The root itself is described by no layer: umoci makes it anew.
      ours.delete(".");
      theirs.delete(".");
      expect({ round, show, tree: [...ours] }).toEqual({ round, show, tree: [...theirs] });
      rmSync(directory, { recursive: true });
      compared++;
    }
    expect(compared).toBeGreaterThan(rounds * 0.8);
  },
  FULL ? 3_600_000 : 60_000,
);
