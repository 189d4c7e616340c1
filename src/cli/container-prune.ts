import { pruneContainers } from "../client/containers.ts";
import { parseFilters } from "../client/filters.ts";
import { command } from "./command.ts";
import { prune, PRUNE_FLAGS } from "./prune-flags.ts";

/** `container prune`: removes all containers that do not run. */
export const containerPrune = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: PRUNE_FLAGS,
  async run({ flags, app }) {
    return prune(app, flags.force, "This will remove all stopped containers.", async () => {
      const { ContainersDeleted, SpaceReclaimed } = await pruneContainers(await app.connection(), parseFilters(flags.filter));
      return { title: "Deleted Containers", lines: ContainersDeleted ?? [], reclaimed: SpaceReclaimed ?? 0 };
    });
  },
});
