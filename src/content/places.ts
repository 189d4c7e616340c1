import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { digestOf, hexOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";

/** Where things of the content store are below a data root. All of it is one file system. */
export interface Places {
  blobs: string;
  ingests: string;
  layers: string;
  /** Layers under way. */
  work: string;
  /** What is to be deleted. */
  trash: string;
}

/** Names the directories and makes sure that they exist. */
export function placesOf(dataRoot: string): Places {
  const places: Places = {
    blobs: join(dataRoot, "content/blobs/sha256"),
    ingests: join(dataRoot, "content/ingest"),
    layers: join(dataRoot, "layers"),
    work: join(dataRoot, "content/unpack"),
    trash: join(dataRoot, "content/trash"),
  };
  for (const place of Object.values(places)) mkdirSync(place, { recursive: true, mode: 0o711 });
  return places;
}

/** The file of a blob. */
export function blobFile(places: Places, digest: Digest): string {
  return join(places.blobs, hexOf(digest));
}

/** The directory of an unpacked layer. */
export function layerDirectory(places: Places, chainId: Digest): string {
  return join(places.layers, hexOf(chainId));
}

/** References hold any characters: the file is named by their digest. */
export function ingestFile(places: Places, ref: string): string {
  return join(places.ingests, hexOf(digestOf(ref)));
}
