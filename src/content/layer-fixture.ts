/** For tests: layers made of entries, and trees compared entry by entry. */
import { gzipSync } from "node:zlib";
import { digestOf } from "../oci/digest.ts";
import { type Digest, MEDIA } from "../oci/image.ts";
import { byteString, type TarEntry, type TarType, textOf } from "../oci/tar-entry.ts";
import { TarParser } from "../oci/tar-read.ts";
import { TAR_END, tarHeader, tarPadding } from "../oci/tar-write.ts";
import type { Content, Lease, Layer } from "./content.ts";

/** An entry with what matters to a test; the rest has plain values. */
export interface Given extends Partial<Omit<TarEntry, "size">> {
  path: string;
  data?: string | Uint8Array;
}

/** A file, unless the path ends in `/` or a type is given. */
export function entryOf({ data = "", ...given }: Given): { entry: TarEntry; data: Uint8Array } {
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  const type: TarType = given.type ?? (given.path.endsWith("/") ? "directory" : "file");
  const mode = type === "directory" ? 0o755 : 0o644;
  const plain = { link: "", mode, uid: 0, gid: 0, user: "", group: "", mtime: 1_500_000_000n * 1_000_000_000n, major: 0, minor: 0 };
  const entry = { ...plain, ...given, type, path: byteString(given.path), size: type === "file" ? bytes.length : 0 };
  return { entry, data: type === "file" ? bytes : new Uint8Array() };
}

/** The archive of some entries. */
export function tarOf(entries: readonly Given[]): Buffer {
  const parts = entries.map(entryOf).flatMap(({ entry, data }) => [tarHeader(entry), data, tarPadding(data.length)]);
  return Buffer.concat([...parts, TAR_END]);
}

/** A packed layer as a registry has it. */
export interface PackedLayer {
  diffId: Digest;
  digest: Digest;
  packed: Buffer;
}

/** An archive as a gzip layer, with its digests. */
export function packedLayer(tar: Uint8Array): PackedLayer {
  const packed = gzipSync(tar, { level: 1 });
  return { diffId: digestOf(tar), digest: digestOf(packed), packed };
}

/** Stores and unpacks a layer on top of another one. */
export async function addLayer(
  content: Content,
  lease: Lease,
  parent: Layer | undefined,
  entries: readonly Given[] | PackedLayer,
  chainId?: Digest,
): Promise<Layer> {
  const layer = "packed" in entries ? entries : packedLayer(tarOf(entries));
  await content.writeBlob(layer.packed, MEDIA.ociLayerGzip, lease);
  return await content.unpack({
    chainId: chainId ?? (parent === undefined ? layer.diffId : digestOf(`${parent.chainId} ${layer.diffId}`)),
    parent: parent?.chainId,
    diffId: layer.diffId,
    source: { blob: layer.digest },
    mediaType: MEDIA.ociLayerGzip,
    lease,
  });
}

/** One line for each entry of an archive: all that a comparison should see. */
export function describeTar(bytes: Uint8Array): Map<string, string> {
  const lines = new Map<string, string>();
  const add = (entry: TarEntry, data: string): void => {
    const xattrs = [...(entry.xattrs ?? [])].map(([key, value]) => `${key}=${Buffer.from(value).toString("hex")}`).sort();
    const time = entry.type === "directory" ? "" : String(entry.mtime);
    const path = textOf(entry.path).replace(/^\.\//, "").replace(/\/$/, "");
    const { type, mode, uid, gid, size, link, major, minor } = entry;
    lines.set(
      path,
      [type, mode.toString(8), uid, gid, size, textOf(link).replace(/^\.\//, ""), `${major}:${minor}`, time, ...xattrs, data].join(" "),
    );
  };
  let hash = new Bun.CryptoHasher("md5");
  const parser = new TarParser({
    entry: () => void (hash = new Bun.CryptoHasher("md5")),
    data: (piece, offset) => void hash.update(`${offset}`).update(piece),
    end: (entry) => add(entry, entry.type === "file" && entry.size > 0 ? hash.digest("hex") : ""),
  });
  parser.push(bytes);
  parser.finish();
  return lines;
}

/** A tree as GNU tar sees it. */
export async function describeTree(directory: string): Promise<Map<string, string>> {
  const command = [
    "tar",
    "-C",
    directory,
    "--sort=name",
    "--format=pax",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "-cf",
    "-",
    ".",
  ];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  return describeTar(new Uint8Array(await new Response(child.stdout).arrayBuffer()));
}
