import { parseFilters } from "../client/filters.ts";
import { searchImages, type SearchResult } from "../client/images.ts";
import { command } from "./command.ts";
import { registryAuth } from "./credentials.ts";
import { bool, filter, int, string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";
import { ellipsis } from "./text.ts";

const DESCRIPTION_WIDTH = 45;

/** `search`: looks for repositories in Docker Hub or in the registry that is named before a slash. */
export const search = command({
  usage: "[OPTIONS] TERM",
  args: 1,
  flags: {
    filter: filter(),
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    limit: int("Show so many at most"),
    "no-trunc": bool("Show everything in full length"),
  },
  async run({ flags, args, app }) {
    const [term = ""] = args;
    const filters = parseFilters(flags.filter);
    if (filters?.["is-automated"]?.some((value) => value === "true" || value === "1"))
      app.err(
        'WARNING: the "is-automated" filter is deprecated, and searching for "is-automated=true" will not yield any results in future.\n',
      );
    const auth = await registryAuth(app, registryIn(term));
    const limit = flags.limit > 0 ? flags.limit : 0;
    const rows = await searchImages(await app.connection(), term, { limit, ...(filters && { filters }), ...(auth && { auth }) });
    app.out(await renderListing(listing(flags["no-trunc"]), rows, flags.format, false));
  },
});

/** Whose login a search takes along. */
function registryIn(term: string): string {
  const slash = term.indexOf("/");
  const head = slash < 0 ? "" : term.slice(0, slash);
  return head === "localhost" || /[.:]/.test(head) ? head : "docker.io";
}

function listing(noTrunc: boolean): Listing<SearchResult> {
  return {
    shown: ["Name", "Description", "StarCount", "IsOfficial"],
    quiet: "Name",
    type: "searchContext",
    columns: {
      Name: { heading: "NAME", of: ({ name }) => name },
      Description: { heading: "DESCRIPTION", of: ({ description }) => oneLine(description, noTrunc) },
      StarCount: { heading: "STARS", of: ({ star_count: stars }) => String(stars) },
      IsOfficial: {
        heading: "OFFICIAL",
        of: ({ is_official: official }) => (official ? "[OK]" : ""),
        json: ({ is_official }) => String(is_official),
      },
    },
  };
}

function oneLine(description: string, noTrunc: boolean): string {
  const text = description.replace(/[\r\n]/g, " ");
  return noTrunc ? text : ellipsis(text, DESCRIPTION_WIDTH);
}
