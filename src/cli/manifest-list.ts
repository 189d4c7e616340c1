import { LighterError } from "../base/errors.ts";
import { parseReference, type Reference } from "../base/reference.ts";
import { MEDIA, type Descriptor } from "../oci/image.ts";
import { platformIn } from "./manifest-registry.ts";
import type { ListedManifest } from "./manifest-store.ts";

/** A list as bytes, in the form and with the blanks of docker's client: its digest is the same. An OCI index where its first image is OCI's. */
export function listText(descriptors: readonly Descriptor[]): { mediaType: string; text: string } {
  const mediaType = descriptors[0]?.mediaType === MEDIA.ociManifest ? MEDIA.ociIndex : MEDIA.dockerIndex;
  const manifests = descriptors.map((entry) => ({
    mediaType: entry.mediaType,
    size: entry.size,
    digest: entry.digest,
    platform: platformIn(entry.platform),
  }));
  return { mediaType, text: JSON.stringify({ schemaVersion: 2, mediaType, manifests }, null, 3) };
}

/** The descriptors of a list's images. Throws `invalid` for an image of another registry. */
export function descriptorsFor(list: Reference, images: readonly ListedManifest[]): Descriptor[] {
  return images.map(({ Ref, Descriptor }) => {
    const { registry } = parseReference(Ref);
    if (registry === list.registry) return Descriptor;
    throw new LighterError(
      "invalid",
      `cannot use source images from a different registry than the target image: ${registry} != ${list.registry}`,
    );
  });
}
