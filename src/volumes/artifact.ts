import { LighterError } from "../base/errors.ts";
import { parseDigest } from "../oci/digest.ts";
import { MEDIA, type Descriptor } from "../oci/image.ts";
import type { PackedPart } from "../content/trees.ts";
import type { VolumeRow } from "./rows.ts";
import { checkDriver, checkName, checkOptions } from "./rules.ts";

/** What a volume is in a registry: an OCI artifact. https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage */
const ARTIFACT = "application/vnd.lighter.volume.v1";
const CONFIG = "application/vnd.lighter.volume.config.v1+json";
/** Programs that unpack artifacts name the files so. */
const TITLE = "org.opencontainers.image.title";

/** Bytes of a volume's configuration at most. */
export const LONGEST_CONFIG = 1 << 20;

/** What a volume is like, as its artifact tells. */
export type Description = Pick<VolumeRow, "name" | "driver" | "config">;

/** The artifact's configuration: name, driver, labels and options. The same volume gives the same bytes. */
export function configOf({ name, driver, config }: Description): { bytes: Uint8Array; mediaType: string } {
  const { labels, options } = config;
  return { bytes: new TextEncoder().encode(JSON.stringify({ v: 1, name, driver, labels, options })), mediaType: CONFIG };
}

/** The artifact's manifest; its layers are archives to be unpacked one after the other. */
export function manifestOf(config: Descriptor, parts: readonly PackedPart[]): Uint8Array {
  const layers = parts.map(({ digest, size }, index) => ({
    mediaType: MEDIA.ociLayerZstd,
    digest,
    size,
    annotations: { [TITLE]: `volume-${String(index).padStart(5, "0")}.tar.zst` },
  }));
  return new TextEncoder().encode(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, artifactType: ARTIFACT, config, layers }),
  );
}

/** What a manifest says, if it is a volume's. Throws `invalid` for anything else; `from` is how the user calls it. */
export function readManifest(bytes: Uint8Array, from: string): { config: Descriptor; layers: Descriptor[] } {
  const { config, layers } = parse(bytes, from) as { config?: unknown; layers?: unknown };
  const described = descriptor(config, from);
  if (described.mediaType !== CONFIG || !Array.isArray(layers)) throw noVolume(from);
  if (described.size > LONGEST_CONFIG) throw broken(from, `its configuration has ${described.size} bytes`);
  return { config: described, layers: layers.map((layer) => descriptor(layer, from)) };
}

/** What the volume is like. Throws `invalid` for what cannot be understood, or a driver or option that is not here. */
export function readConfig(bytes: Uint8Array, from: string): Description {
  const { v, name, driver, labels = null, options = null } = parse(bytes, from) as Record<string, unknown>;
  if (v !== 1 || typeof name !== "string" || typeof driver !== "string" || !isTexts(labels) || !isTexts(options))
    throw broken(from, "its configuration says nothing known");
  checkName(name);
  checkDriver(name, driver);
  checkOptions(name, options ?? {});
  return { name, driver, config: { v: 1, labels, options } };
}

function parse(bytes: Uint8Array, from: string): object {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch {
    // Not JSON, or not an object: one error.
  }
  throw broken(from, "it is no JSON object");
}

function descriptor(value: unknown, from: string): Descriptor {
  const { mediaType, digest, size } = (value ?? {}) as Record<string, unknown>;
  if (typeof mediaType !== "string" || typeof digest !== "string" || !Number.isSafeInteger(size) || (size as number) < 0)
    throw broken(from, "it names a part without type, digest or size");
  return { mediaType, digest: parseDigest(digest), size: size as number };
}

function isTexts(value: unknown): value is Record<string, string> | null {
  return (
    value === null || (typeof value === "object" && !Array.isArray(value) && Object.values(value).every((text) => typeof text === "string"))
  );
}

/** The error for an image, or an artifact of another kind. */
export function noVolume(from: string): LighterError {
  return new LighterError("invalid", `Cannot pull a volume from ${from}: it is no volume that "volume push" sent`);
}

function broken(from: string, why: string): LighterError {
  return new LighterError("invalid", `Cannot pull a volume from ${from}: ${why}`);
}
