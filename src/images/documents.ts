import { LighterError } from "../base/errors.ts";
import type { Content } from "../content/content.ts";
import type { Digest, ImageConfig, Index, Manifest } from "../oci/image.ts";

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
    return this.cachedConfig(digest) ?? parseConfig(await this.#read(digest), digest);
  }

  /** The configuration, if it was read before. */
  cachedConfig(digest: Digest): ImageConfig | undefined {
    return this.#parsed.get(digest) as ImageConfig | undefined;
  }

  async #read(digest: Digest): Promise<unknown> {
    const known = this.#parsed.get(digest);
    if (known !== undefined) return known;
    const parsed = parseJson(await this.#content.readBlob(digest), digest);
    if (this.#parsed.size >= KEPT) {
      const oldest = this.#parsed.keys().next();
      if (oldest.done !== true) this.#parsed.delete(oldest.value);
    }
    this.#parsed.set(digest, parsed);
    return parsed;
  }
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

/** Checks the shape of an image's configuration; throws `invalid`. */
export function parseConfig(value: unknown, digest: Digest): ImageConfig {
  const config = value as Partial<ImageConfig> | null;
  if (config?.rootfs === undefined || !Array.isArray(config.rootfs.diff_ids) || !config.rootfs.diff_ids.every(isDigest)) {
    throw new LighterError("invalid", `Cannot read ${digest}: it is not an image configuration (no rootfs.diff_ids)`);
  }
  return { ...config, os: config.os || "linux", architecture: config.architecture || "amd64" } as ImageConfig;
}

function isDescriptor(value: unknown): boolean {
  const item = value as { digest?: unknown; size?: unknown; mediaType?: unknown } | null | undefined;
  return isDigest(item?.digest) && Number.isSafeInteger(item?.size) && (item?.size as number) >= 0 && typeof item?.mediaType === "string";
}

function isDigest(value: unknown): boolean {
  return typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
}
