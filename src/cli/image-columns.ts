import { shortId } from "../base/ids.ts";
import { formatBytes, humanDuration } from "../base/units.ts";
import type { ImageSummary } from "../wire/engine-api.ts";
import type { Listing } from "./format.ts";
import { localTime } from "./text.ts";

/** One line of `images`: an image under one of its names. */
export interface ImageRow {
  image: ImageSummary & { LastUsed?: string };
  repository: string;
  tag: string;
  digest: string;
}

export interface ImageView {
  noTrunc: boolean;
  digests: boolean;
  /** Milliseconds since the epoch: what "ago" counts from. */
  now: number;
}

const NONE = "<none>";

/** The lines that an image gives: one a tag, or with digests one a tag and digest. */
export function imageRows(images: readonly ImageRow["image"][], digests: boolean): ImageRow[] {
  return images.flatMap((image) => {
    const names = (image.RepoTags ?? []).filter((name) => name !== `${NONE}:${NONE}`).map(splitTag);
    const hashes = (image.RepoDigests ?? []).filter((name) => name !== `${NONE}@${NONE}`).map(splitDigest);
    const row = (repository: string, tag: string, digest: string): ImageRow => ({ image, repository, tag, digest });
    if (names.length === 0 && hashes.length === 0) return [row(NONE, NONE, NONE)];
    const tagged = names.flatMap(({ repository, tag }) => {
      const own = hashes.filter((hash) => hash.repository === repository);
      return digests && own.length > 0 ? own.map(({ digest }) => row(repository, tag, digest)) : [row(repository, tag, NONE)];
    });
    const bare = hashes.filter(({ repository }) => !names.some((name) => name.repository === repository));
    const unnamed = digests ? bare : bare.filter((hash, at) => bare.findIndex((one) => one.repository === hash.repository) === at);
    return [...tagged, ...unnamed.map(({ repository, digest }) => row(repository, NONE, digest))];
  });
}

function splitTag(name: string): { repository: string; tag: string } {
  const at = name.lastIndexOf(":");
  return { repository: name.slice(0, at), tag: name.slice(at + 1) };
}

function splitDigest(name: string): { repository: string; digest: string } {
  const at = name.indexOf("@");
  return { repository: name.slice(0, at), digest: name.slice(at + 1) };
}

/** What `images` can show of a line. */
export function imageListing(view: ImageView): Listing<ImageRow> {
  const counted = (value: number | undefined): string => (value === undefined || value < 0 ? "N/A" : String(value));
  const sized = (value: number | undefined): string => (value === undefined || value < 0 ? "N/A" : formatBytes(value));
  const shown = ["Repository", "Tag", "ID", "CreatedSince", "Size"];
  if (view.digests) shown.splice(2, 0, "Digest");
  return {
    shown,
    quiet: "ID",
    type: "imageContext",
    columns: {
      ID: { heading: "IMAGE ID", of: ({ image }) => (view.noTrunc ? (image.Id ?? "") : shortId(image.Id ?? "")) },
      Repository: { heading: "REPOSITORY", of: ({ repository }) => repository },
      Tag: { heading: "TAG", of: ({ tag }) => tag },
      Digest: { heading: "DIGEST", of: ({ digest }) => digest },
      CreatedSince: { heading: "CREATED", of: ({ image }) => created(image, view.now) },
      CreatedAt: { heading: "CREATED AT", of: ({ image }) => localTime(image.Created * 1000) },
      // Ours; a daemon that does not say leaves it out.
      LastUsed: { heading: "LAST USED", of: ({ image }) => used(image.LastUsed, view.now), tableOnly: true },
      Size: { heading: "SIZE", of: ({ image }) => formatBytes(image.Size, 3) },
      Containers: { heading: "CONTAINERS", of: ({ image }) => counted(image.Containers) },
      VirtualSize: { heading: "SIZE", of: ({ image }) => formatBytes(image.Size) },
      SharedSize: { heading: "SHARED SIZE", of: ({ image }) => sized(image.SharedSize) },
      UniqueSize: {
        heading: "UNIQUE SIZE",
        of: ({ image }) => (image.SharedSize < 0 ? "N/A" : formatBytes(image.Size - image.SharedSize)),
      },
    },
  };
}

function used(time: string | undefined, now: number): string {
  return time === undefined ? "N/A" : `${humanDuration((now - Date.parse(time)) / 1000)} ago`;
}

/** Images that are built to be the same each time carry no time. */
function created(image: ImageSummary, now: number): string {
  return image.Created <= 0 ? "N/A" : `${humanDuration(now / 1000 - image.Created)} ago`;
}
