import { LighterError } from "../base/errors.ts";
import { momentOf } from "../base/moment.ts";
import type { ImageDeleteResponseItem } from "../wire/engine-api.ts";
import { booleanFilter, filterValues, matchLabels, type Filters } from "../wire/filters.ts";
import type { DescribeContext } from "./describe.ts";
import { configOf } from "./list.ts";
import { pruneImage, type RemoveContext } from "./remove.ts";
import { allImages, namesOf } from "./rows.ts";

const FILTERS: readonly string[] = ["dangling", "until", "label", "label!"];

/** Removes images that no container uses: those without a name, or with `dangling=false` all of them. */
export async function pruneImages(context: DescribeContext & RemoveContext, filters: Filters): Promise<ImageDeleteResponseItem[]> {
  for (const key of filters.keys()) if (!FILTERS.includes(key)) throw new LighterError("invalid", `invalid filter '${key}'`);
  const danglingOnly = booleanFilter(filters, "dangling") ?? true;
  const until = filterValues(filters, "until")?.map((text) => momentOf(text)) ?? [];
  const deleted: ImageDeleteResponseItem[] = [];
  for (const image of allImages(context.state)) {
    if (danglingOnly && namesOf(context.state, image.id).length > 0) continue;
    if (until.some((limit) => BigInt(image.created) >= limit)) continue;
    // One that was removed meanwhile has none, and nothing to be removed.
    const config = await configOf(context, image).catch(() => undefined);
    if (!matchLabels(filters, config?.config?.Labels ?? {})) continue;
    deleted.push(...pruneImage(context, image.id, config));
  }
  return deleted;
}
