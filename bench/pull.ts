/**
 * `bun bench/pull.ts [--layers N] [--rounds N] [--packing gzip|zstd] [--only TEXT] [--write]`: pull and unpack of an image (8 layers of Debian's packages, 520 MB
 * unpacked) from Debian's docker-registry on loopback: ours, Debian's dockerd (which knows no zstd), and the floor: `gzip -d | tar x` of each layer,
 * all at once, from files that are here already. Interleaved; prints medians and ratios.
 * `--write` puts them into docs/bench/images.md. Run as root.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { hexOf } from "../src/oci/digest.ts";
import type { Index, Manifest } from "../src/oci/image.ts";
import { Daemon, LIGHTER } from "../tests/harness/daemon.ts";
import { TestRegistry } from "../tests/harness/registry.ts";
import { dockerClient } from "../tools/programs.ts";
import { replaceSection } from "../tools/section.ts";
import { must } from "../tools/shell.ts";
import { freshDisk } from "./fresh-disk.ts";
import { interleaved, timed, type Contestant } from "./measure.ts";
import { startDockerd } from "./peer.ts";
import { benchImage, type Packing } from "./pull-image.ts";

const { values: flags } = parseArgs({
  options: {
    layers: { type: "string", default: "8" },
    rounds: { type: "string", default: "2" },
    packing: { type: "string", default: "gzip" },
    only: { type: "string", default: "" },
    write: { type: "boolean" },
  },
});
const packing = flags.packing as Packing;
/** The least processor time that a daemon took for a pull, by its client: what other load on the machine does not change. */
const used = new Map<string, number>();
const layout = await benchImage(packing, Number(flags.layers));
await using disk = await freshDisk(12);
const folder = disk.path;
{
  await using registry = await TestRegistry.start(join(folder, "registry"));
  await registry.push(layout, "bench");
  const image = `${registry.host}/bench:latest`;
  await using ours = new Daemon(join(folder, "lighter"));
  await ours.start();
  await using peer = packing === "gzip" ? await startDockerd(join(folder, "dockerd"), { sharesNetwork: true }) : undefined;
  const docker = await dockerClient("bookworm");
  const blobs = await layerBlobs();
  const contestants: Contestant[] = [
    { name: `${packing} -d and tar x of each layer, in parallel`, once: () => floor(blobs, false) },
    { name: "the same, synced", once: () => floor(blobs, true) },
    ...(peer === undefined ? [] : [{ name: "dockerd", once: () => pullOnce(docker, peer.host, image, peer.pid) }]),
    { name: "lighter", once: () => pullOnce(LIGHTER, `unix://${ours.socket}`, image, ours.pid) },
  ].filter(({ name }) => name.includes(flags.only));
  const figures = await interleaved(contestants, Number(flags.rounds));
  const own = figures.find(({ name }) => name === "lighter")?.median ?? Number.NaN;
  const packed = blobs.reduce((sum, blob) => sum + Bun.file(blob).size, 0);
  console.log(`${blobs.length} layers, ${(packed / 1e6).toFixed(0)} MB packed`);
  for (const { name, median, p90 } of figures)
    console.log(`${name}: ${median.toFixed(0)} ms (p90 ${p90.toFixed(0)}), lighter is ${(median / own).toFixed(2)} times as fast`);
  const [theirs, mine] = [used.get(docker), used.get(LIGHTER)];
  if (theirs !== undefined && mine !== undefined)
    console.log(`processor time: dockerd ${theirs} ms, lighter ${mine} ms, ${(theirs / mine).toFixed(2)} times less`);
  if (flags.write) {
    const lines = figures.map(({ name, median }) => `| ${name} | ${median.toFixed(0)} ms | ${(median / own).toFixed(2)} |`);
    const head = `| ${packing}, ${(packed / 1e6).toFixed(0)} MB packed | median | lighter is so many times as fast |\n|---|---:|---:|`;
    const spent =
      theirs === undefined || mine === undefined ? "" : `\n\nProcessor time of the daemon: dockerd ${theirs} ms, lighter ${mine} ms.`;
    await replaceSection("docs/bench/images.md", "pull", `${head}\n${lines.join("\n")}${spent}`);
  }
}

async function layerBlobs(): Promise<string[]> {
  const read = async (digest: string): Promise<unknown> =>
    Bun.file(join(layout, "blobs/sha256", hexOf(digest as `sha256:${string}`))).json();
  const index = (await Bun.file(join(layout, "index.json")).json()) as Index;
  const manifest = (await read(index.manifests[0]?.digest ?? "")) as Manifest;
  return manifest.layers.map(({ digest }) => join(layout, "blobs/sha256", hexOf(digest)));
}

/** Milliseconds of one pull by an engine that has nothing of the image; it is removed again outside of the clock. */
async function pullOnce(client: string, host: string, image: string, daemon = 0): Promise<number> {
  await must(["sync"]);
  const before = await processorTime(daemon);
  const elapsed = await timed([client, "pull", "-q", image], { DOCKER_HOST: host });
  used.set(client, Math.min(used.get(client) ?? Infinity, (await processorTime(daemon)) - before));
  await must([client, "rmi", "-f", image], { env: { DOCKER_HOST: host } });
  return elapsed;
}

/** Milliseconds of processor time that a daemon and the children it waited for have used. */
async function processorTime(pid: number): Promise<number> {
  const stat = await Bun.file(`/proc/${pid}/stat`)
    .text()
    .catch(() => "");
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .map(Number);
  return (user + system + childUser + childSystem) * 10;
}

/** Milliseconds in which the usual programs unpack all layers, each into a folder of its own. */
async function floor(blobs: readonly string[], synced: boolean): Promise<number> {
  const target = join(folder, "floor");
  await must(["mkdir", target]);
  await must(["sync"]);
  const start = performance.now();
  await Promise.all(
    blobs.map((blob, index) =>
      must(["sh", "-c", `mkdir "$1" && ${packing} -dc < "$0" | tar -x -p --xattrs -C "$1"`, blob, join(target, String(index))]),
    ),
  );
  if (synced) await must(["sync", "-f", target]);
  const elapsed = performance.now() - start;
  await must(["rm", "-rf", target]);
  return elapsed;
}
