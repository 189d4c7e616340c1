import { LighterError } from "../base/errors.ts";
import type { Content, Lease } from "../content/content.ts";
import { MEDIA, type Digest } from "../oci/image.ts";
import { memberPath, type ImageArchive } from "./read-archive.ts";

/** A layer that `manifest.json` names by its path, with the media type that its bytes have: Docker writes plain ones, crane and Jib packed ones. Throws `invalid`. */
export async function legacyLayer(
  content: Content,
  lease: Lease,
  read: ImageArchive,
  path: string,
): Promise<{ mediaType: string; digest: Digest; size: number }> {
  const member = memberPath(path);
  const bytes = read.documents.get(member);
  const blob = read.blobs.get(member) ?? (bytes === undefined ? undefined : await content.writeBlob(bytes, MEDIA.ociLayer, lease));
  if (blob === undefined) throw new LighterError("invalid", `invalid archive: layer "${path}" is missing`);
  const { digest, size } = blob;
  return { digest, size, mediaType: typeOf(await Bun.file(content.blobPath(digest)).slice(0, 4).bytes()) };
}

/** By the first bytes: of gzip (RFC 1952), of zstd (RFC 8878). */
function typeOf(first: Uint8Array): string {
  if (first[0] === 0x1f && first[1] === 0x8b) return MEDIA.ociLayerGzip;
  return Buffer.from(first).toString("hex") === "28b52ffd" ? MEDIA.ociLayerZstd : MEDIA.ociLayer;
}
