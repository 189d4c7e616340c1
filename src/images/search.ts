import { LighterError } from "../base/errors.ts";
import type { Credentials, Distribution, FoundRepository } from "../distribution/distribution.ts";
import { booleanFilter, type Filters } from "../wire/filters.ts";

/** As `Images.search` takes them. */
export interface SearchOptions {
  /** At most so many; 0 or nothing is Docker's 25. */
  limit?: number;
  filters: Filters;
  credentials?: Credentials;
  signal?: AbortSignal;
}

const DEFAULT_LIMIT = 25;
const MOST = 100;

/** Looks for repositories in a registry, as dockerd does. Throws `invalid` for a limit, a filter or a term that cannot be. */
export async function searchImages(distribution: Distribution, text: string, options: SearchOptions): Promise<FoundRepository[]> {
  const automated = booleanFilter(options.filters, "is-automated") ?? false;
  const official = booleanFilter(options.filters, "is-official");
  const stars = starsOf(options.filters.get("stars") ?? []);
  const limit = options.limit || DEFAULT_LIMIT;
  if (limit < 1 || limit > MOST) throw new LighterError("invalid", `limit ${limit} is outside the range of [1, ${MOST}]`);
  if (text.includes("://"))
    throw new LighterError("invalid", `invalid repository name: repository name (${text}) should not have a scheme`);
  // Docker Hub builds nothing by itself any more: nothing it knows is automated, whatever it says.
  if (automated) return [];
  const { credentials, signal } = options;
  const found = await distribution.search(text, { limit, ...(credentials && { credentials }), ...(signal && { signal }) });
  return found
    .filter((item) => (official === undefined || item.is_official === official) && item.star_count >= stars)
    .map((item) => ({ ...item, is_automated: false }));
}

/** The most stars that a filter asks for. */
function starsOf(values: readonly string[]): number {
  let most = 0;
  for (const value of values) {
    if (!/^[+-]?\d{1,15}$/.test(value)) {
      throw new LighterError("invalid", `invalid filter 'stars=${value}': strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
    }
    most = Math.max(most, Number(value));
  }
  return most;
}
