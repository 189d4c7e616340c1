import { listContainers } from "../client/containers.ts";
import { parseFilters } from "../client/filters.ts";
import { command } from "./command.ts";
import { containerListing } from "./container-columns.ts";
import { bool, filter, int, string } from "./flags.ts";
import { renderListing } from "./format.ts";

const flags = {
  all: bool("Show all containers, also those that do not run", { short: "a", shown: "shows just running" }),
  filter: filter(),
  format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
  last: int("Show the N containers made last, in any state", { short: "n", initial: -1, shown: "-1" }),
  latest: bool("Show the container made last, in any state", "l"),
  "no-trunc": bool("Show everything in full length"),
  quiet: bool("Show IDs only", "q"),
  size: bool("Show how much disk space they use", "s"),
};

/** `ps`: lists containers. */
export const ps = command({
  usage: "[OPTIONS]",
  args: 0,
  flags,
  async run({ flags, given, app }) {
    const format = flags.format || (flags.quiet ? "" : (app.config.psFormat ?? ""));
    const limit = given("last") ? flags.last : flags.latest ? 1 : undefined;
    const filters = parseFilters(flags.filter);
    const size = flags.size || /\.Size\b/.test(format);
    const rows = await listContainers(await app.connection(), {
      all: flags.all,
      size,
      ...(limit !== undefined && { limit }),
      ...(filters && { filters }),
    });
    const listing = containerListing({ noTrunc: flags["no-trunc"], size: flags.size, now: Date.now() });
    app.out(await renderListing(listing, rows, format, flags.quiet));
  },
});
