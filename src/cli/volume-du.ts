import { formatBytes } from "../base/units.ts";
import { volumeUse, type VolumeUse } from "../client/volumes.ts";
import { command, MANY } from "./command.ts";
import { string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";

/** `volume du`: shows what volumes hold, the largest first. */
export const volumeDu = command({
  usage: "[OPTIONS] [VOLUME...]",
  args: [0, MANY],
  flags: { format: string("How to show it: 'table', 'table TEMPLATE', 'json', or a Go template") },
  async run({ flags, args, app }) {
    const uses = await volumeUse(await app.connection(), args);
    app.out(await renderListing(LISTING, uses, flags.format, false));
    const unknown = uses.flatMap(({ Unreachable }) => Unreachable ?? []);
    for (const why of unknown) app.err(`${why}\n`);
    return unknown.length > 0 ? 1 : 0;
  },
});

const LISTING: Listing<VolumeUse> = {
  shown: ["Name", "Size", "Files", "Limit", "Containers"],
  quiet: "Name",
  type: "volumeUse",
  columns: {
    Name: { heading: "VOLUME NAME", of: ({ Name }) => Name },
    Size: { heading: "SIZE", of: ({ Size, Unreachable }) => (Unreachable === undefined ? formatBytes(Size, 3) : "unreachable") },
    Bytes: { heading: "BYTES", of: ({ Size }) => Size },
    Files: { heading: "FILES", of: ({ Files }) => Files },
    Limit: { heading: "LIMIT", of: ({ Limit }) => (Limit === null ? "-" : formatBytes(Limit, 3)) },
    Containers: { heading: "CONTAINERS", of: ({ Containers }) => Containers },
  },
};
