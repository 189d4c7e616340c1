import { answerJson, refuse } from "./answers.ts";
import type { Call, RegistryContext } from "./routes.ts";
import { hasRepository, isKnownRepository, repositoriesAfter, tagsAfter } from "./rows.ts";

/** So many entries where a client does not say, and at most. */
const PAGE = 1000;
const MOST = 10_000;

/** GET of the repositories, in order, by pages: those that the client may pull from. */
export function catalog({ state }: RegistryContext, { url, visitor }: Call): Response {
  const { last, limit } = pageOf(url);
  const repositories: string[] = [];
  for (let after = last; repositories.length < limit;) {
    const names = repositoriesAfter(state, after, limit);
    repositories.push(...names.filter((name) => visitor.sees(name)).slice(0, limit - repositories.length));
    if (names.length < limit) break;
    after = names.at(-1) ?? "";
  }
  const hasMore = repositories.length === limit && repositoriesAfter(state, repositories.at(-1) ?? "", 1).length > 0;
  return answerJson({ repositories }, hasMore ? nextLink(url, repositories, limit) : {});
}

/** GET of a repository's tags, in order, by pages. */
export function tags({ state }: RegistryContext, { url, repository }: Call): Response {
  if (!hasRepository(state, repository) && !isKnownRepository(state, repository)) return refuse("NAME_UNKNOWN", repository);
  const { last, limit } = pageOf(url);
  const found = tagsAfter(state, repository, last, limit + 1);
  const shown = found.slice(0, limit);
  return answerJson({ name: repository, tags: shown }, found.length > limit ? nextLink(url, shown, limit) : {});
}

function pageOf(url: URL): { last: string; limit: number } {
  const asked = Number(url.searchParams.get("n") ?? PAGE);
  return { last: url.searchParams.get("last") ?? "", limit: Number.isInteger(asked) && asked >= 0 ? Math.min(asked, MOST) : PAGE };
}

/** Where the next page is (RFC 8288). An empty page has none after it. */
function nextLink(url: URL, page: string[], limit: number): Record<string, string> {
  const last = page.at(-1);
  if (last === undefined) return {};
  return { link: `<${url.pathname}?n=${limit}&last=${encodeURIComponent(last)}>; rel="next"` };
}
