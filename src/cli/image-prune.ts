import { parseFilters } from "../client/filters.ts";
import { pruneImages } from "../client/images.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";
import { prune, PRUNE_FLAGS } from "./prune-flags.ts";

/** `image prune`: removes images without a name, or with `--all` every image that no container uses. */
export const imagePrune = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: { ...PRUNE_FLAGS, all: bool("Remove every image that no container uses", "a") },
  async run({ flags, app }) {
    const warning = flags.all
      ? "This will remove all images without at least one container associated to them."
      : "This will remove all dangling images.";
    return prune(app, flags.force, warning, async () => {
      const filters = { ...parseFilters(flags.filter), dangling: [String(!flags.all)] };
      const { ImagesDeleted, SpaceReclaimed } = await pruneImages(await app.connection(), filters);
      const lines = (ImagesDeleted ?? []).map(({ Untagged, Deleted }) => (Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`));
      return { title: "Deleted Images", lines, reclaimed: SpaceReclaimed ?? 0 };
    });
  },
});
