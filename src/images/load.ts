import { LighterError } from "../base/errors.ts";
import { shortId } from "../base/ids.ts";
import { familiarReference, formatReference, parseReference, type Reference } from "../base/reference.ts";
import type { Content, Lease } from "../content/content.ts";
import { chainIds } from "../oci/digest.ts";
import { isIndex, isManifest, type Descriptor, type Digest, type ImageConfig, type Manifest } from "../oci/image.ts";
import { formatPlatform, hostPlatform, isAttestation, parsePlatform, platformDistance } from "../oci/platform.ts";
import type { State } from "../state/state.ts";
import type { ProgressSink } from "../wire/progress.ts";
import { parseConfig, parseIndex, parseJson, parseManifest } from "./documents.ts";
import { MOST_LAYERS } from "./fetch-image.ts";
import { imageEvent } from "./image-events.ts";
import { configIfImage } from "./image-kind.ts";
import { storeDocuments } from "./import.ts";
import { legacyLayer } from "./legacy-layer.ts";
import { LayerProgress } from "../wire/layer-progress.ts";
import { memberPath, readArchive, type ImageArchive } from "./read-archive.ts";
import { platformOf, recordImage, type PresentImage, type PresentManifest } from "./record.ts";
import { putName } from "./rows.ts";

/** As `Images.load` takes them. */
export interface LoadOptions {
  progress: ProgressSink;
  platforms?: string[];
  quiet?: boolean;
  signal?: AbortSignal;
}

/** What loading needs. */
export interface LoadContext {
  state: State;
  content: Content;
  changed: () => void;
}

/** Loads all images of an archive, each in one transaction, after its layers are unpacked. */
export async function loadImages(context: LoadContext, archive: ReadableStream<Uint8Array>, options: LoadOptions): Promise<void> {
  const { content } = context;
  using lease = content.lease("load");
  const stored = (path: string, size: number): void => {
    if (options.quiet === true || size < 4096) return;
    new LayerProgress(shortId(path.replace(/^blobs\/sha256\//, "")), options.progress).bytes("Loading layer", size, size);
  };
  const read = await readArchive(content, lease, archive, { stored, ...(options.signal === undefined ? {} : { signal: options.signal }) });
  const leftOut: string[] = [];
  const found = read.documents.has("index.json")
    ? await fromLayout(context, read, options, leftOut)
    : await fromLegacy(context, lease, read);
  if (found.length === 0)
    throw new LighterError("invalid", `invalid archive: ${["does not contain an image", ...leftOut.slice(0, 1)].join(": ")}`);
  for (const each of found) await keep(context, lease, each, options);
}

interface Loaded {
  image: PresentImage;
  name: Reference | undefined;
}

async function keep({ state, content, changed }: LoadContext, lease: Lease, { image, name }: Loaded, options: LoadOptions): Promise<void> {
  const runs = bestFor(image.manifests);
  if (runs !== undefined) await unpackAll(content, lease, runs, options.signal);
  const id = image.target.digest;
  const spelled = name === undefined ? undefined : familiarReference(name);
  state.write(
    (tx) => {
      recordImage(tx, content, image);
      if (name !== undefined) putName(tx, name, id);
      imageEvent(tx, "load", id, spelled ?? id, image.manifests[0]?.config);
      tx.afterCommit(changed);
    },
    { durable: true },
  );
  options.progress({ stream: spelled === undefined ? `Loaded image ID: ${id}\n` : `Loaded image: ${spelled}\n` });
}

/** The platform that is unpacked at once: the one that this host runs. Others are when they are asked for. */
export function bestFor(manifests: PresentManifest[]): PresentManifest | undefined {
  const host = hostPlatform();
  const distance = ({ config }: PresentManifest): number => platformDistance(host, platformOf(config)) ?? Number.MAX_SAFE_INTEGER;
  return manifests.toSorted((a, b) => distance(a) - distance(b))[0];
}

export async function unpackAll(
  content: Content,
  lease: Lease,
  { manifest, config }: PresentManifest,
  signal: AbortSignal | undefined,
): Promise<void> {
  const chain = chainIds(config.rootfs.diff_ids);
  const work = manifest.layers.map((layer, index) => {
    const chainId = chain[index] as Digest;
    const diffId = config.rootfs.diff_ids[index] as Digest;
    const source = { blob: layer.digest };
    const options = { chainId, diffId, parent: chain[index - 1], source, mediaType: layer.mediaType, lease };
    return content.unpack(signal === undefined ? options : { ...options, signal });
  });
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** Images of an OCI layout: `index.json` names them, `manifest.json` may know more names. */
async function fromLayout({ content }: LoadContext, read: ImageArchive, options: LoadOptions, leftOut: string[]): Promise<Loaded[]> {
  const bytes = read.documents.get("index.json") ?? new Uint8Array();
  const { manifests } = parseIndex(parseJson(bytes, "sha256:index.json" as Digest), "sha256:index.json" as Digest);
  const tags = legacyTags(read);
  const loaded: Loaded[] = [];
  for (const target of manifests) {
    const image = await gather(content, plain(target), options.platforms ?? [], leftOut);
    if (image === undefined) continue;
    const names = namesFor(target, image, tags);
    for (const name of names.length === 0 ? [undefined] : names) loaded.push({ image, name });
  }
  return loaded;
}

/** The descriptor without what this archive says about it. */
function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

/**
 * Everything of an image that the archive (or the store) has; undefined for what is not an image. `leftOut` gets to know why something does not count.
 * Throws `invalid` for sizes that lie, and where nothing of a platform asked for is there.
 */
export async function gather(
  content: Content,
  target: Descriptor,
  platforms: string[],
  leftOut: string[] = [],
): Promise<PresentImage | undefined> {
  const image: PresentImage = { target, indexes: [], manifests: [], attestations: [] };
  await collect({ content, image, leftOut }, target, 0);
  if (platforms.length > 0) {
    const wanted = platforms.map(parsePlatform);
    image.manifests = image.manifests.filter(({ config }) => wanted.some((each) => platformDistance(each, platformOf(config)) === 0));
    if (image.manifests.length === 0) {
      throw new LighterError("not-found", `requested platform(s) (${wanted.map(formatPlatform).join(", ")}) not found in the archive`);
    }
  }
  return image.manifests.length === 0 ? undefined : image;
}

/** What is being gathered. */
interface Gathering {
  content: Content;
  image: PresentImage;
  leftOut: string[];
}

async function collect(gathering: Gathering, descriptor: Descriptor, depth: number): Promise<void> {
  const { content, image } = gathering;
  if (!isHere(gathering, descriptor) || depth > 4) return;
  if (isIndex(descriptor.mediaType)) {
    const index = parseIndex(await readJson(content, descriptor.digest), descriptor.digest);
    image.indexes.push({ digest: descriptor.digest, index });
    for (const each of index.manifests) await collect(gathering, each, depth + 1);
  } else if (isManifest(descriptor.mediaType)) {
    const manifest = parseManifest(await readJson(content, descriptor.digest), descriptor.digest);
    if (isAttestation(descriptor)) image.attestations.push({ digest: descriptor.digest, manifest });
    else await collectPlatform(gathering, descriptor, manifest);
  }
}

/** Whether a blob is here. Throws `invalid` where it is not as long as who refers to it says. */
function isHere({ content, leftOut }: Gathering, { digest, size }: Descriptor): boolean {
  const blob = content.blob(digest);
  if (blob === undefined) leftOut.push(`${digest} is missing`);
  else if (blob.size !== size)
    throw new LighterError("invalid", `Cannot take ${digest}: it has ${blob.size} bytes, what refers to it says ${size}`);
  return blob !== undefined;
}

/** A platform counts only if all of it is here: an archive may leave others out. What is no image is kept with the image that it is about. */
async function collectPlatform(gathering: Gathering, descriptor: Descriptor, manifest: Manifest): Promise<void> {
  const { content, image, leftOut } = gathering;
  const parts = [manifest.config, ...manifest.layers];
  if (parts.some((part) => !isHere(gathering, part))) return;
  const config = configIfImage(manifest, await content.readBlob(manifest.config.digest));
  if ("other" in config) {
    leftOut.push(`it holds ${config.other}`);
    return void image.attestations.push({ digest: descriptor.digest, manifest });
  }
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    throw new LighterError("invalid", `invalid archive: layers of ${descriptor.digest} don't match its configuration`);
  }
  checkHeight(descriptor.digest, manifest.layers.length);
  image.manifests.push({ descriptor, manifest, config });
}

function checkHeight(what: string, layers: number): void {
  if (layers > MOST_LAYERS)
    throw new LighterError("invalid", `Cannot load ${what}: it has ${layers} layers, more than the ${MOST_LAYERS} that can be stacked`);
}

async function readJson(content: Content, digest: Digest): Promise<unknown> {
  return parseJson(await content.readBlob(digest), digest);
}

interface LegacyEntry {
  Config?: unknown;
  RepoTags?: unknown;
  Layers?: unknown;
}

function legacyEntries(read: ImageArchive): LegacyEntry[] {
  const bytes = read.documents.get("manifest.json");
  if (bytes === undefined) return [];
  const parsed = parseJson(bytes, "sha256:manifest.json" as Digest);
  const sound = Array.isArray(parsed) && parsed.every((each) => typeof each === "object" && each !== null);
  if (!sound) throw new LighterError("invalid", "invalid archive: manifest.json is not a list");
  return parsed as LegacyEntry[];
}

/** Names by configuration digest, from `manifest.json`. */
function legacyTags(read: ImageArchive): Map<string, string[]> {
  const tags = new Map<string, string[]>();
  for (const { Config, RepoTags } of legacyEntries(read)) {
    const digest = read.blobs.get(String(Config))?.digest;
    if (digest !== undefined && Array.isArray(RepoTags)) tags.set(digest, RepoTags.map(String));
  }
  return tags;
}

/** A name with the digest of other content is left out. */
function namesFor(target: Descriptor, image: PresentImage, tags: Map<string, string[]>): Reference[] {
  const full = target.annotations?.["io.containerd.image.name"];
  const ref = target.annotations?.["org.opencontainers.image.ref.name"];
  const given = full ?? (ref !== undefined && /[/:]/.test(ref) ? ref : undefined);
  if (given !== undefined) return [parseReference(given)].filter(({ digest }) => digest === undefined || digest === target.digest);
  const known = image.manifests.flatMap(({ manifest }) => tags.get(manifest.config.digest) ?? []);
  const unique = new Map(known.map((name) => [formatReference(parseReference(name)), parseReference(name)]));
  return [...unique.values()];
}

/** Images of the form that Docker wrote before layouts: a configuration and plain layers, for which a manifest is made. */
async function fromLegacy({ content }: LoadContext, lease: Lease, read: ImageArchive): Promise<Loaded[]> {
  const loaded: Loaded[] = [];
  for (const { Config, RepoTags, Layers } of legacyEntries(read)) {
    const member = memberPath(String(Config));
    const stored = read.blobs.get(member);
    const bytes = stored === undefined ? read.documents.get(member) : await content.readBlob(stored.digest);
    if (bytes === undefined || !Array.isArray(Layers)) throw new LighterError("invalid", `invalid archive: "${String(Config)}" is missing`);
    const config: ImageConfig = parseConfig(parseJson(bytes, "sha256:config" as Digest), "sha256:config" as Digest);
    if (config.rootfs.diff_ids.length !== Layers.length)
      throw new LighterError("invalid", "invalid archive: layers don't match the configuration");
    checkHeight(String(Config), Layers.length);
    const layers = await Promise.all(Layers.map((path) => legacyLayer(content, lease, read, String(path))));
    const { descriptor, manifest } = await storeDocuments(content, lease, bytes, ...layers);
    const image: PresentImage = { target: descriptor, indexes: [], manifests: [{ descriptor, manifest, config }], attestations: [] };
    const names = Array.isArray(RepoTags) ? RepoTags.map((tag) => parseReference(String(tag))) : [];
    for (const name of names.length === 0 ? [undefined] : names) loaded.push({ image, name });
  }
  return loaded;
}
