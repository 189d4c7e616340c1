import { shortId } from "../base/ids.ts";
import { parseFilters } from "../client/filters.ts";
import { listNetworks } from "../client/networks.ts";
import type { Network } from "../wire/engine-api.ts";
import { command } from "./command.ts";
import { bool, filter, string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";
import { labelsText } from "./text.ts";

/** `network ls`: lists networks. */
export const networkLs = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    filter: filter(),
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    "no-trunc": bool("Show everything in full length"),
    quiet: bool("Show IDs only", "q"),
  },
  async run({ flags, app }) {
    const networks = await listNetworks(await app.connection(), parseFilters(flags.filter));
    const rows = networks.sort((a, b) => (a.Name ?? "").localeCompare(b.Name ?? "", "en", { numeric: true }));
    const format = flags.format || (flags.quiet ? "" : (app.config.networksFormat ?? ""));
    app.out(await renderListing(networkListing(flags["no-trunc"]), rows, format, flags.quiet));
  },
});

function networkListing(noTrunc: boolean): Listing<Network> {
  return {
    shown: ["ID", "Name", "Driver", "Scope"],
    quiet: "ID",
    type: "networkContext",
    columns: {
      ID: { heading: "NETWORK ID", of: ({ Id = "" }) => (noTrunc ? Id : shortId(Id)) },
      Name: { heading: "NAME", of: ({ Name = "" }) => Name },
      Driver: { heading: "DRIVER", of: ({ Driver = "" }) => Driver },
      Scope: { heading: "SCOPE", of: ({ Scope = "" }) => Scope },
      IPv4: { heading: "IPV4", of: ({ EnableIPv4 = false }) => String(EnableIPv4) },
      IPv6: { heading: "IPV6", of: ({ EnableIPv6 = false }) => String(EnableIPv6) },
      Internal: { heading: "INTERNAL", of: ({ Internal = false }) => String(Internal) },
      Labels: { heading: "LABELS", of: ({ Labels }) => labelsText(Labels) },
      Label: {
        heading: "",
        of:
          ({ Labels }) =>
          (name: unknown) =>
            Labels?.[String(name)] ?? "",
      },
      CreatedAt: { heading: "CREATED AT", of: ({ Created = "" }) => goTime(Created) },
    },
  };
}

/** An RFC 3339 time as Go prints one: `2026-11-22 18:13:40.843160532 +0000 UTC`. */
function goTime(text: string): string {
  return text
    .replace("T", " ")
    .replace(/Z$/, " +0000 UTC")
    .replace(/([+-]\d\d):(\d\d)$/, " $1$2 $1$2");
}
