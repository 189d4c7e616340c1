import { parseFilters } from "../client/filters.ts";
import { pruneVolumes } from "../client/volumes.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";
import { prune, PRUNE_FLAGS } from "./prune-flags.ts";

/** `volume prune`: removes anonymous volumes, or with `--all` every volume, that no container uses. */
export const volumePrune = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: { ...PRUNE_FLAGS, all: bool("Remove also volumes that have a name", "a") },
  async run({ flags, app }) {
    const what = flags.all ? "all volumes" : "anonymous local volumes";
    return prune(app, flags.force, `This will remove ${what} not used by at least one container.`, async () => {
      const filters = { ...parseFilters(flags.filter), ...(flags.all && { all: ["true"] }) };
      const { VolumesDeleted, SpaceReclaimed } = await pruneVolumes(await app.connection(), filters);
      return { title: "Deleted Volumes", lines: VolumesDeleted ?? [], reclaimed: SpaceReclaimed ?? 0 };
    });
  },
});
