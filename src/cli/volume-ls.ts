import { formatBytes } from "../base/units.ts";
import { parseFilters } from "../client/filters.ts";
import { listVolumes } from "../client/volumes.ts";
import type { Volume } from "../wire/engine-api.ts";
import { command } from "./command.ts";
import { bool, filter, string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";
import { labelsText } from "./text.ts";

/** `volume ls`: lists volumes. */
export const volumeLs = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    cluster: { ...bool("Show volumes of a swarm only"), hidden: true },
    filter: filter(),
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    quiet: bool("Show names only", "q"),
  },
  async run({ flags, app }) {
    const { Volumes } = await listVolumes(await app.connection(), parseFilters(flags.filter));
    const rows = (Volumes ?? []).sort((a, b) => a.Name.localeCompare(b.Name, "en", { numeric: true }));
    const format = flags.format || (flags.quiet ? "" : (app.config.volumesFormat ?? ""));
    app.out(await renderListing(LISTING, flags.cluster ? [] : rows, format, flags.quiet));
  },
});

const NOT_HERE = (): string => "N/A";

const LISTING: Listing<Volume> = {
  shown: ["Driver", "Name"],
  quiet: "Name",
  type: "volumeContext",
  columns: {
    Name: { heading: "VOLUME NAME", of: ({ Name }) => Name },
    Driver: { heading: "DRIVER", of: ({ Driver }) => Driver },
    Scope: { heading: "SCOPE", of: ({ Scope }) => Scope },
    Mountpoint: { heading: "MOUNTPOINT", of: ({ Mountpoint }) => Mountpoint },
    Labels: { heading: "LABELS", of: ({ Labels }) => labelsText(Labels) },
    Label: {
      heading: "",
      of:
        ({ Labels }) =>
        (name: unknown) =>
          Labels?.[String(name)] ?? "",
    },
    Links: { heading: "LINKS", of: ({ UsageData }) => (UsageData ? String(UsageData.RefCount) : "N/A") },
    Size: { heading: "SIZE", of: ({ UsageData }) => (UsageData ? formatBytes(UsageData.Size, 3) : "N/A") },
    Group: { heading: "GROUP", of: NOT_HERE },
    Availability: { heading: "AVAILABILITY", of: NOT_HERE },
    Status: { heading: "STATUS", of: NOT_HERE },
  },
};
