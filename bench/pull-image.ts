import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, hexOf } from "../src/oci/digest.ts";
import { MEDIA, type Descriptor, type Digest, type ImageConfig, type Manifest } from "../src/oci/image.ts";
import { cacheFolder } from "../tools/cache.ts";
import { unpackedPackages } from "../tools/debian.ts";
import { must } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";

/** How the layers of a bench image are packed. */
export type Packing = "gzip" | "zstd";

/** The packages of each layer above Debian itself: large programs and many small files, some 520 MB unpacked in all. */
const LAYERS: Record<string, string[]> = {
  llvm: ["libllvm14"],
  go: ["golang-1.19-src"],
  tools: ["binutils-common", "binutils-x86-64-linux-gnu", "libc6-dev", "cpp-12"],
  vim: ["vim-runtime"],
  git: ["git", "perl-modules-5.36"],
  node: ["libnode108"],
  python: ["libpython3.11-stdlib", "libicu72"],
};
/** The same for processors whose binutils have another name. */
if (process.arch === "arm64") LAYERS["tools"]?.splice(1, 1, "binutils-aarch64-linux-gnu");

const COMMAND: Record<Packing, string[]> = { gzip: ["gzip", "-6n"], zstd: ["zstd", "-3", "-q"] };
const MEDIA_TYPE: Record<Packing, string> = { gzip: MEDIA.ociLayerGzip, zstd: MEDIA.ociLayerZstd };

/** Folder of an OCI layout with an image of `count` (at most 8) layers; made when the cache has none. */
export async function benchImage(packing: Packing, count: number): Promise<string> {
  const folder = join(await cacheFolder("images", "pull-1"), `${packing}-${count}`);
  if (await Bun.file(join(folder, "index.json")).exists()) return folder;
  const work = `${folder}.${process.pid}`;
  const blobs = join(work, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const layers: Descriptor[] = [];
  const diffIds: Digest[] = [];
  for (const tar of (await archives()).slice(0, count)) {
    diffIds.push(await digestOfFile(tar));
    const packed = join(work, "packed");
    await must(["sh", "-c", '"$@" < "$IN" > "$OUT"', "sh", ...COMMAND[packing]], { env: { IN: tar, OUT: packed } });
    const digest = await digestOfFile(packed);
    layers.push({ mediaType: MEDIA_TYPE[packing], digest, size: Bun.file(packed).size });
    await rename(packed, join(blobs, hexOf(digest)));
  }
  const put = async (mediaType: string, value: object): Promise<Descriptor> => {
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    const digest = digestOf(bytes);
    await Bun.write(join(blobs, hexOf(digest)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const config: ImageConfig = { architecture, os: "linux", config: { Cmd: ["bash"] }, rootfs: { type: "layers", diff_ids: diffIds } };
  const manifest: Manifest = { schemaVersion: 2, mediaType: MEDIA.ociManifest, config: await put(MEDIA.ociConfig, config), layers };
  const entry = await put(MEDIA.ociManifest, manifest);
  await Bun.write(join(work, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  await Bun.write(join(work, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  await rm(folder, { recursive: true, force: true });
  await rename(work, folder);
  return folder;
}

/** The archives of the layers, bottom first. */
async function archives(): Promise<string[]> {
  const folder = await cacheFolder("images", "pull-1", "layers");
  const found: string[] = [];
  const debian = join(folder, "debian.tar");
  if (!(await Bun.file(debian).exists())) await unpackDebian(debian);
  found.push(debian);
  for (const [name, packages] of Object.entries(LAYERS)) {
    const tar = join(folder, `${name}.tar`);
    found.push(tar);
    if (await Bun.file(tar).exists()) continue;
    const root = await unpackedPackages("bookworm", `pull-${name}`, packages);
    await must(["tar", "-C", root, "--sort=name", "--numeric-owner", "--owner=0", "--group=0", "-cf", `${tar}.part`, "."]);
    await rename(`${tar}.part`, tar);
    await rm(root, { recursive: true });
  }
  return found;
}

async function unpackDebian(target: string): Promise<void> {
  const { layout } = await testImage("debian");
  const read = async (digest: Digest): Promise<Manifest> =>
    (await Bun.file(join(layout, "blobs/sha256", hexOf(digest))).json()) as Manifest;
  const index = (await Bun.file(join(layout, "index.json")).json()) as { manifests: Descriptor[] };
  const manifest = await read(index.manifests[0]?.digest as Digest);
  const packed = join(layout, "blobs/sha256", hexOf(manifest.layers[0]?.digest as Digest));
  await must(["sh", "-c", 'gzip -dc < "$IN" > "$OUT.part" && mv "$OUT.part" "$OUT"'], { env: { IN: packed, OUT: target } });
}

async function digestOfFile(path: string): Promise<Digest> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const piece of Bun.file(path).stream()) hash.update(piece);
  return `sha256:${hash.digest("hex")}`;
}

if (import.meta.main) console.log(await benchImage((process.argv[2] ?? "gzip") as Packing, Number(process.argv[3] ?? 8)));
