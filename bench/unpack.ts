/**
 * `bun bench/unpack.ts [layer.tar.gz]`: unpacks one layer by turns with `gzip -d | tar x` and with the content store, which also checks
 * digests and syncs. Without an argument the layer is made of this machine's /usr/lib and /usr/share, up to 400 MB. Run as root.
 */
import { $ } from "bun";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { openContent } from "../src/content/open.ts";
import { digestOf } from "../src/oci/digest.ts";
import { MEDIA } from "../src/oci/image.ts";
import { State } from "../src/state/state.ts";

const ROUNDS = 3;
const directory = mkdtempSync(join(process.env["TMPDIR"] ?? "/var/tmp", "lighter-bench-"));
try {
  const layer = process.argv[2] ?? (await makeLayer());
  const data = readFileSync(layer);
  const diffId = digestOf(gunzipSync(data));
  const peer: number[] = [];
  const ours: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    peer.push(await timed(() => gnuTar(layer)));
    ours.push(await lighter(data, diffId));
  }
  const [best, bestOurs] = [Math.min(...peer), Math.min(...ours)];
  console.log(`layer: ${(data.length / 1e6).toFixed(0)} MB packed`);
  console.log(`gzip -d | tar x; sync: ${best.toFixed(0)} ms (${peer.map((ms) => ms.toFixed(0)).join(", ")})`);
  console.log(
    `lighter: ${bestOurs.toFixed(0)} ms (${ours.map((ms) => ms.toFixed(0)).join(", ")}), ${(best / bestOurs).toFixed(2)} times as fast`,
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function makeLayer(): Promise<string> {
  const list = await $`find /usr/lib /usr/share -xdev -printf ${"%s %p\n"}`.quiet().text();
  let total = 0;
  const names: string[] = [];
  for (const line of list.split("\n")) {
    const space = line.indexOf(" ");
    const size = Number(line.slice(0, space));
    if (space < 0 || size > 20e6 || (total += size) > 400e6) continue;
    names.push(line.slice(space + 1));
  }
  const layer = join(directory, "layer.tar.gz");
  await Bun.write(join(directory, "names"), names.join("\n"));
  await $`tar -C / --no-recursion -c -P -T ${join(directory, "names")} | gzip -6 > ${layer}`.quiet();
  return layer;
}

async function gnuTar(layer: string): Promise<void> {
  const target = join(directory, "gnu");
  await $`rm -rf ${target}; mkdir ${target}`.quiet();
  await $`gzip -dc ${layer} | tar -x -p -C ${target} --xattrs; sync -f ${target}`.quiet();
  await $`rm -rf ${target}`.quiet();
}

async function timed(run: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** From a blob that is here to an unpacked layer with its row. */
async function lighter(data: Uint8Array, diffId: ReturnType<typeof digestOf>): Promise<number> {
  const dataRoot = join(directory, "ours");
  rmSync(dataRoot, { recursive: true, force: true });
  const state = new State(join(dataRoot, "state.db"));
  const content = await openContent({ dataRoot, state });
  const lease = content.lease("bench");
  const blob = await content.writeBlob(data, MEDIA.ociLayerGzip, lease);
  const time = await timed(async () => {
    await content.unpack({
      chainId: diffId,
      parent: undefined,
      diffId,
      source: { blob: blob.digest },
      mediaType: MEDIA.ociLayerGzip,
      lease,
    });
  });
  state.close();
  rmSync(dataRoot, { recursive: true, force: true });
  return time;
}
