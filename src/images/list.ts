import { fromRfc3339, toRfc3339Nano, toSeconds, type Nanoseconds } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { momentOf } from "../base/moment.ts";
import { familiarName, familiarReference, parseReference } from "../base/reference.ts";
import type { ImageConfig } from "../oci/image.ts";
import { booleanFilter, filterValues, matchLabels, type Filters } from "../wire/filters.ts";
import type { ImageSummary } from "../wire/engine-api.ts";
import { repoDigests, repoTags, summarizeManifests, targetOf, totalSize, type DescribeContext } from "./describe.ts";
import { findImage } from "./find.ts";
import { checkPattern, matchPath } from "./glob.ts";
import { choosePlatform } from "./runnable.ts";
import { sharedSizes } from "./shared-size.ts";
import { allImages, manifestsOf, namesOf, type ImageRow, type NameRow } from "./rows.ts";

/** As `Images.list` takes them. */
export interface ListOptions {
  all?: boolean;
  filters: Filters;
  digests?: boolean;
  manifests?: boolean;
  /** The manifests, and where each is known to come from. */
  identity?: boolean;
  sharedSize?: boolean;
  lastUsed?: boolean;
}

/** The filters that `docker images` knows. */
export const LIST_FILTERS: readonly string[] = ["dangling", "label", "label!", "before", "since", "reference", "until"];

/** Images that pass the filters, newest first. */
export async function listImages(context: DescribeContext, options: ListOptions): Promise<(ImageSummary & { LastUsed?: string })[]> {
  for (const key of options.filters.keys()) if (!LIST_FILTERS.includes(key)) throw new LighterError("invalid", `invalid filter '${key}'`);
  for (const pattern of filterValues(options.filters, "reference") ?? []) checkPattern(pattern);
  const passes = rowFilter(context, options.filters);
  const found: (ImageSummary & { LastUsed?: string })[] = [];
  const shared = options.sharedSize === true ? await sharedSizes(context.state) : undefined;
  for (const image of allImages(context.state)) {
    const names = matchingNames(namesOf(context.state, image.id), options.filters);
    if (names === undefined || !passes(image, names)) continue;
    const config = await configOf(context, image);
    if (!matchLabels(options.filters, config?.config?.Labels ?? {})) continue;
    const summary: ImageSummary & { LastUsed?: string } = summarize(context, image, names, config);
    if (options.lastUsed === true) summary.LastUsed = toRfc3339Nano(BigInt(image.last_used));
    if (options.manifests === true || options.identity === true)
      summary.Manifests = await summarizeManifests(context, image, { identity: options.identity === true });
    if (shared !== undefined) summary.SharedSize = shared.get(image.id) ?? 0;
    found.push(summary);
  }
  return found.toSorted((a, b) => b.Created - a.Created);
}

/** The configuration of the platform that would run; undefined where none is here. */
export async function configOf({ state, documents }: DescribeContext, image: ImageRow): Promise<ImageConfig | undefined> {
  if (manifestsOf(state, image.id).length === 0) return undefined;
  const row = choosePlatform(state, { image }, undefined, image.id);
  return documents.config(row.config);
}

/** What Docker shows for an image without labels. */
const NO_LABELS = null as unknown as Record<string, string>;

function summarize(
  { state, content, users }: DescribeContext,
  image: ImageRow,
  names: NameRow[],
  config: ImageConfig | undefined,
): ImageSummary {
  return {
    Id: image.id,
    ParentId: "",
    RepoTags: repoTags(names),
    RepoDigests: repoDigests(names, image.id),
    Created: toSeconds(createdOf(config) ?? 0n),
    Size: totalSize(state, image, manifestsOf(state, image.id)),
    SharedSize: -1,
    Labels: config?.config?.Labels ?? NO_LABELS,
    Containers: users(image.id).length,
    Descriptor: targetOf(content, image),
  };
}

/** When an image was made, as its configuration says, if it does. */
export function createdOf(config: ImageConfig | undefined): Nanoseconds | undefined {
  return config?.created === undefined ? undefined : fromRfc3339(config.created);
}

/** The names to show; undefined where a `reference` filter matches none of them. */
function matchingNames(names: NameRow[], filters: Filters): NameRow[] | undefined {
  const patterns = filterValues(filters, "reference");
  if (patterns === undefined) return names;
  const fits = (text: string): boolean => patterns.some((pattern) => matchPath(pattern, text));
  const matching = names.flatMap((row) => {
    const reference = parseReference(row.name);
    if ([familiarReference(reference), familiarName(reference), row.name].some(fits)) return [row];
    // Asked for by digest, it is shown by digest alone.
    return fits(`${familiarName(reference)}@${row.image}`) ? [{ ...row, tag: null }] : [];
  });
  return matching.length === 0 ? undefined : matching;
}

function rowFilter({ state }: DescribeContext, filters: Filters): (image: ImageRow, names: NameRow[]) => boolean {
  const dangling = booleanFilter(filters, "dangling");
  const timeOf = (reference: string): bigint => BigInt(findImage(state, reference).image.created);
  const before = filterValues(filters, "before")?.map(timeOf);
  const since = filterValues(filters, "since")?.map(timeOf);
  const until = filterValues(filters, "until")?.map((text) => momentOf(text));
  return ({ created }, names) => {
    const time = BigInt(created);
    if (dangling !== undefined && dangling !== (names.length === 0)) return false;
    if (before?.some((limit) => time >= limit) || until?.some((limit) => time >= limit)) return false;
    return !since?.some((limit) => time <= limit);
  };
}
