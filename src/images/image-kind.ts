import { LighterError, messageOf } from "../base/errors.ts";
import { formatReference, type Reference } from "../base/reference.ts";
import { MEDIA, type ImageConfig, type Manifest } from "../oci/image.ts";
import { parseConfig, parseJson } from "./documents.ts";

/** Media types of layers that we can unpack, and of those that old tools gave them: some kind of tar, and none that is encrypted. */
const LAYER = /\btar\b|^application\/octet-stream$/;

/** Refuses what is in a registry but is no image (charts, modules, signatures), before any of it is fetched. Throws `invalid`, naming the kind. */
export function checkLayerKinds(manifest: Manifest, reference: Reference): void {
  const other = oddLayer(manifest);
  if (other !== undefined) throw noImage(reference, isImageConfig(manifest) ? `a layer of the kind "${other}"` : kindOf(manifest));
}

/** The configuration of an image; of what is none, what it is in words. Throws `invalid` for an image's configuration that cannot be read. */
export function configIfImage(manifest: Manifest, bytes: Uint8Array): ImageConfig | { other: string } {
  const layer = oddLayer(manifest);
  if (layer !== undefined) return { other: isImageConfig(manifest) ? `a layer of the kind "${layer}"` : kindOf(manifest) };
  try {
    return parseConfig(parseJson(bytes, manifest.config.digest), manifest.config.digest);
  } catch (error) {
    if (isImageConfig(manifest)) throw error;
    return { other: kindOf(manifest) };
  }
}

/** The media type of the first layer that cannot be unpacked. */
function oddLayer({ layers }: Manifest): string | undefined {
  return layers.find(({ mediaType }) => !LAYER.test(mediaType) || mediaType.includes("encrypted"))?.mediaType;
}

/** The configuration of an image. Throws `invalid`; where its media type is none of an image's, that is named. */
export function imageConfig(value: unknown, manifest: Manifest, reference: Reference): ImageConfig {
  try {
    return parseConfig(value, manifest.config.digest);
  } catch (error) {
    if (isImageConfig(manifest)) throw error;
    throw noImage(reference, `${kindOf(manifest)} (${messageOf(error)})`);
  }
}

function isImageConfig({ config }: Manifest): boolean {
  return config.mediaType === MEDIA.ociConfig || config.mediaType === MEDIA.dockerConfig;
}

function kindOf({ artifactType, config }: Manifest & { artifactType?: unknown }): string {
  return `something of the kind "${typeof artifactType === "string" ? artifactType : config.mediaType}"`;
}

function noImage(reference: Reference, what: string): LighterError {
  return new LighterError("invalid", `Cannot pull ${formatReference(reference)}: it holds ${what}, which is no image that can be run`);
}
