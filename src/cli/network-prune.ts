import { parseFilters } from "../client/filters.ts";
import { pruneNetworks } from "../client/networks.ts";
import { command } from "./command.ts";
import { prune, PRUNE_FLAGS } from "./prune-flags.ts";

/** `network prune`: removes all networks that no container uses. */
export const networkPrune = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: PRUNE_FLAGS,
  async run({ flags, app }) {
    return prune(app, flags.force, "This will remove all custom networks not used by at least one container.", async () => {
      const { NetworksDeleted } = await pruneNetworks(await app.connection(), parseFilters(flags.filter));
      return { title: "Deleted Networks", lines: NetworksDeleted ?? [] };
    });
  },
});
