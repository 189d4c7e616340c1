import { LighterError } from "../base/errors.ts";
import { familiarReference, parseReference } from "../base/reference.ts";
import type { Content, Lease } from "../content/content.ts";
import { hexOf } from "../oci/digest.ts";
import { isIndex, isManifest, MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { hostPlatform, parsePlatform, platformDistance } from "../oci/platform.ts";
import { byteString, type TarEntry } from "../oci/tar-entry.ts";
import { TAR_END, tarHeader, tarPadding } from "../oci/tar-write.ts";
import type { State } from "../state/state.ts";
import type { Documents } from "./documents.ts";
import { findImage, type Found } from "./find.ts";
import { imageEvent } from "./image-events.ts";
import { choosePlatform, platformFrom } from "./runnable.ts";
import { imageById, manifestsOf, namesIn, repositoryOf, type ImageRow, type ManifestRow } from "./rows.ts";

/** What saving needs. */
export interface SaveContext {
  state: State;
  content: Content;
  documents: Documents;
}

/** One image with the names to save it under. */
interface Wanted {
  image: ImageRow;
  /** Full names (`docker.io/library/ubuntu:latest`); empty for a save by id. */
  names: string[];
  /** The platforms to save; undefined for all that is here. */
  platforms: ManifestRow[] | undefined;
}

/** An archive as Docker 29 writes it: an OCI layout and `manifest.json` side by side, layers packed as they came. The stream keeps its content until it ends. */
export async function saveImages(
  context: SaveContext,
  references: readonly string[],
  options: { platforms?: string[]; signal?: AbortSignal },
): Promise<ReadableStream<Uint8Array>> {
  const lease = context.content.lease("save");
  try {
    const wanted = references.flatMap((reference) => select(context, reference, options.platforms ?? []));
    // In the same turn as the look-up: from here on nothing of the images can be collected.
    for (const { image } of wanted) lease.addBlob(image.id);
    const archive = await plan(context, wanted);
    const reading = write(context.content, archive);
    return streamOf(reading, lease, options.signal);
  } catch (error) {
    lease.release();
    throw error;
  }
}

/** A name without a tag means all tags of its repository; an id means the image without a name. */
function select({ state }: SaveContext, text: string, platforms: string[]): Wanted[] {
  const bare =
    /^[^:@]+$|\/[^:@]*$/.test(text) && !/^(sha256:)?[0-9a-f]{12,64}$/.test(text) ? namesIn(state, repositoryOf(parseReference(text))) : [];
  if (bare.length > 0) {
    return bare.flatMap(({ image: id, name }) => {
      const image = imageById(state, id);
      return image === undefined ? [] : [{ image, names: [name], platforms: platformsOf(state, { image }, platforms, text) }];
    });
  }
  const found = findImage(state, text);
  const name = found.name === undefined || found.name.tag === undefined ? [] : [`${repositoryOf(found.name)}:${found.name.tag}`];
  return [{ image: found.image, names: name, platforms: platformsOf(state, found, platforms, text) }];
}

function platformsOf(state: State, found: Found, platforms: string[], text: string): ManifestRow[] | undefined {
  if (platforms.length === 0) return undefined;
  return platforms.map((platform) => {
    const wanted = parsePlatform(platform);
    const exact = manifestsOf(state, found.image.id).find((row) => platformDistance(wanted, platformFrom(row.platform)) === 0);
    return exact ?? choosePlatform(state, found, platform, text);
  });
}

interface Archive {
  blobs: { digest: Digest; size: number }[];
  files: { path: string; bytes: Uint8Array }[];
}

interface LegacyEntry {
  Config: string;
  RepoTags: string[] | null;
  Layers: string[];
}

/** Decides what goes into the archive. */
async function plan({ state, content, documents }: SaveContext, wanted: Wanted[]): Promise<Archive> {
  const blobs = new Map<Digest, number>();
  const index: Descriptor[] = [];
  const legacy = new Map<Digest, LegacyEntry>();
  for (const { image, names, platforms } of wanted) {
    for (const root of await rootsOf(content, documents, image, platforms)) {
      for (const digest of await reach(content, documents, root)) {
        const blob = content.blob(digest);
        if (blob !== undefined) blobs.set(digest, blob.size);
      }
      index.push(...entries(root, names));
    }
    const row = preferred(platforms ?? manifestsOf(state, image.id));
    if (row !== undefined) {
      const entry = legacy.get(row.manifest) ?? (await legacyEntry(documents, row));
      entry.RepoTags = [...(entry.RepoTags ?? []), ...names.map((name) => familiarReference(parseReference(name)))];
      legacy.set(row.manifest, entry);
    }
    const config = row && (await documents.config(row.config));
    state.write((tx) => imageEvent(tx, "save", image.id, image.id, config), { durable: false });
  }
  const files = [
    { path: "index.json", bytes: encode({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: index }) },
    {
      path: "manifest.json",
      bytes: encode([...legacy.values()].map((entry) => ({ ...entry, RepoTags: entry.RepoTags?.length ? entry.RepoTags : null }))),
    },
    { path: "oci-layout", bytes: encode({ imageLayoutVersion: "1.0.0" }) },
  ];
  return { blobs: [...blobs].map(([digest, size]) => ({ digest, size })).toSorted((a, b) => (a.digest < b.digest ? -1 : 1)), files };
}

/** The one platform of an image that stands in `manifest.json`, as in Docker's archives: who reads that file alone takes each entry for an image. */
function preferred(rows: ManifestRow[]): ManifestRow | undefined {
  const host = hostPlatform();
  const distance = ({ platform }: ManifestRow): number => platformDistance(host, platformFrom(platform)) ?? Number.MAX_SAFE_INTEGER;
  return rows.toSorted((a, b) => distance(a) - distance(b))[0];
}

/** What `index.json` points at: the whole image, or the platforms asked for. */
async function rootsOf(
  content: Content,
  documents: Documents,
  image: ImageRow,
  platforms: ManifestRow[] | undefined,
): Promise<Descriptor[]> {
  if (platforms === undefined) return [{ mediaType: image.media_type, digest: image.id, size: content.blob(image.id)?.size ?? 0 }];
  return Promise.all(
    platforms.map(async ({ manifest: digest }) => {
      const { mediaType = MEDIA.ociManifest } = await documents.manifest(digest);
      return { mediaType, digest, size: content.blob(digest)?.size ?? 0 };
    }),
  );
}

/** One entry of `index.json` for each name, or one without a name. */
function entries(root: Descriptor, names: string[]): Descriptor[] {
  if (names.length === 0) return [root];
  return names.map((name) => {
    const annotations = { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1) };
    return { ...root, annotations };
  });
}

async function legacyEntry(documents: Documents, row: ManifestRow): Promise<LegacyEntry> {
  const manifest = await documents.manifest(row.manifest);
  return { Config: pathOf(row.config), RepoTags: null, Layers: manifest.layers.map((layer) => pathOf(layer.digest)) };
}

/** Everything that a document refers to, itself included; documents that are not here are left out with what hangs on them. */
async function reach(content: Content, documents: Documents, { digest, mediaType }: Descriptor): Promise<Digest[]> {
  if (content.blob(digest) === undefined) return [];
  if (isIndex(mediaType)) {
    const { manifests } = await documents.index(digest);
    const below = await Promise.all(manifests.map((each) => reach(content, documents, each)));
    return [digest, ...below.flat()];
  }
  if (!isManifest(mediaType)) return [digest];
  const manifest = await documents.manifest(digest);
  return [digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)];
}

async function* write(content: Content, { blobs, files }: Archive): AsyncGenerator<Uint8Array> {
  yield tarHeader(entryOf("directory", "blobs/", 0));
  yield tarHeader(entryOf("directory", "blobs/sha256/", 0));
  for (const { digest, size } of blobs) {
    yield tarHeader(entryOf("file", pathOf(digest), size));
    yield* Bun.file(content.blobPath(digest)).stream();
    yield tarPadding(size);
  }
  for (const { path, bytes } of files) {
    yield tarHeader(entryOf("file", path, bytes.length));
    yield bytes;
    yield tarPadding(bytes.length);
  }
  yield TAR_END;
}

function streamOf(pieces: AsyncGenerator<Uint8Array>, lease: Lease, signal: AbortSignal | undefined): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          if (signal?.aborted === true) throw new LighterError("cancelled", "context canceled");
          let next = await pieces.next();
          while (next.done !== true && next.value.length === 0) next = await pieces.next();
          if (next.done !== true) return controller.enqueue(next.value);
          lease.release();
          controller.close();
        } catch (error) {
          lease.release();
          controller.error(error);
        }
      },
      async cancel() {
        await pieces.return(undefined);
        lease.release();
      },
    },
    { highWaterMark: 0 },
  );
}

function entryOf(type: "file" | "directory", path: string, size: number): TarEntry {
  const mode = type === "file" ? 0o644 : 0o755;
  return { type, path: byteString(path), link: "", mode, uid: 0, gid: 0, user: "", group: "", size, mtime: 0n, major: 0, minor: 0 };
}

function pathOf(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
