/** An image, or some names of one that stays, that went or would go. */
export interface GcItem {
  /** The image's id. */
  image: string;
  names: string[];
  /** False: names go, but the image has others. */
  whole: boolean;
  rule: "no-name" | "tags" | "unused" | "space";
  why: string;
  /** On disk, of what nothing else needs. */
  bytes: number;
  /** RFC 3339. */
  lastUsed: string;
}

/** What a collection of unused images did, or would do: the answer of `POST /lighter/gc`. Sizes are bytes on disk. */
export interface GcReport {
  items: GcItem[];
  /** What stays, and why. */
  kept: { image: string; names: string[]; why: string; lastUsed: string }[];
  /** What went with the items, and what nothing needed before. */
  freed: number;
  /** The data root's file system and the images in it, before. */
  fullness: { total: number; used: number; images: number };
  /** What had to go for space. */
  shortage?: { bytes: number; why: string };
  dryRun: boolean;
}
