import { kindOf, LighterError } from "../base/errors.ts";
import type { Content } from "../content/content.ts";
import type { Descriptor, Digest, HistoryEntry, ImageConfig, Index, Manifest } from "../oci/image.ts";

/** How many parsed documents are held; a few KB each. */
const KEPT = 512;

/** Manifests, indexes and configurations, parsed once: what a digest names never changes. */
export class Documents {
  readonly #content: Content;
  readonly #parsed = new Map<Digest, unknown>();

  constructor(content: Content) {
    this.#content = content;
  }

  async manifest(digest: Digest): Promise<Manifest> {
    return parseManifest(await this.#read(digest), digest);
  }

  async index(digest: Digest): Promise<Index> {
    return parseIndex(await this.#read(digest), digest);
  }

  async config(digest: Digest): Promise<ImageConfig> {
    return parseConfig(await this.#read(digest), digest);
  }

  async #read(digest: Digest): Promise<unknown> {
    const known = this.#parsed.get(digest);
    if (known !== undefined) return known;
    const parsed = parseJson(await this.#content.readBlob(digest).catch(asMissing), digest);
    if (this.#parsed.size >= KEPT) {
      const oldest = this.#parsed.keys().next();
      if (oldest.done !== true) this.#parsed.delete(oldest.value);
    }
    this.#parsed.set(digest, parsed);
    return parsed;
  }
}

/** A document whose image was removed while it was being read is not there any more: no defect. */
function asMissing(cause: unknown): never {
  if (kindOf(cause) === "not-found") throw new LighterError("not-found", "the image was removed in the meantime", { cause });
  throw cause;
}

/** Parses a document's bytes. Throws `invalid`. */
export function parseJson(bytes: Uint8Array, digest: Digest): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new LighterError("invalid", `Cannot read ${digest}: it is not JSON`, { cause });
  }
}

/** Checks the shape of an image manifest; throws `invalid`. */
export function parseManifest(value: unknown, digest: Digest): Manifest {
  const manifest = value as Partial<Manifest> | null;
  const sound = isDescriptor(manifest?.config) && Array.isArray(manifest?.layers) && manifest.layers.every(isDescriptor);
  if (!sound) throw new LighterError("invalid", `Cannot read ${digest}: it is not an image manifest`);
  return manifest as Manifest;
}

/** Checks the shape of an index; throws `invalid`. */
export function parseIndex(value: unknown, digest: Digest): Index {
  const index = value as Partial<Index> | null;
  const sound = Array.isArray(index?.manifests) && index.manifests.every(isDescriptor);
  if (!sound) throw new LighterError("invalid", `Cannot read ${digest}: it is not an image index`);
  return index as Index;
}

/** Checks the shape of an image's configuration, as far as anything here relies on it; throws `invalid`. */
export function parseConfig(value: unknown, digest: Digest): ImageConfig {
  const config = value as Partial<Record<keyof ImageConfig, unknown>> | null;
  const rootfs = config?.rootfs as { diff_ids?: unknown } | null | undefined;
  const sound =
    Array.isArray(rootfs?.diff_ids) &&
    rootfs.diff_ids.every(isDigest) &&
    [config?.os, config?.architecture, config?.variant, config?.created].every(isTextOrNothing) &&
    (isNothing(config?.history) || (Array.isArray(config?.history) && config.history.every(isStep))) &&
    (isNothing(config?.config) || isRunConfig(config?.config));
  if (!sound) throw new LighterError("invalid", `Cannot read ${digest}: it is not an image configuration`);
  const { history, config: run, ...rest } = config as unknown as ImageConfig;
  return {
    ...rest,
    os: rest.os || "linux",
    architecture: rest.architecture || "amd64",
    ...(isNothing(history) ? {} : { history }),
    ...(isNothing(run) ? {} : { config: run }),
  };
}

function isDescriptor(value: unknown): boolean {
  const item = value as { [key in keyof Descriptor]?: unknown } | null | undefined;
  const size = item?.size;
  return (
    isDigest(item?.digest) &&
    typeof size === "number" &&
    Number.isSafeInteger(size) &&
    size >= 0 &&
    typeof item?.mediaType === "string" &&
    (item.platform === undefined || isPlatform(item.platform)) &&
    (item.annotations === undefined || isTextMap(item.annotations)) &&
    (item.urls === undefined || isTextList(item.urls))
  );
}

function isPlatform(value: unknown): boolean {
  const platform = value as { os?: unknown; architecture?: unknown; variant?: unknown } | null;
  return typeof platform?.os === "string" && typeof platform.architecture === "string" && isTextOrNothing(platform.variant);
}

function isStep(value: unknown): boolean {
  const step = value as HistoryEntry | null;
  return typeof step === "object" && step !== null && [step.created, step.created_by, step.comment].every(isTextOrNothing);
}

function isRunConfig(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { Env, Cmd, Entrypoint, Labels, User, WorkingDir, Volumes, ExposedPorts, OnBuild, Shell, StopSignal } = value as Record<
    string,
    unknown
  >;
  return (
    [Env, Cmd, Entrypoint, OnBuild, Shell].every((list) => isNothing(list) || isTextList(list)) &&
    [User, WorkingDir, StopSignal].every(isTextOrNothing) &&
    [Volumes, ExposedPorts].every((map) => isNothing(map) || (typeof map === "object" && !Array.isArray(map))) &&
    (isNothing(Labels) || isTextMap(Labels))
  );
}

function isNothing(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

function isTextOrNothing(value: unknown): boolean {
  return isNothing(value) || typeof value === "string";
}

function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isTextMap(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.values(value).every((item) => typeof item === "string");
}

function isDigest(value: unknown): boolean {
  return typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
}
