import { shortId } from "../base/ids.ts";
import { reachablePorts } from "../client/reachable-ports.ts";
import type { PortReach } from "../wire/port-reach.ts";
import { command } from "./command.ts";
import { bool, string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";

/** `ports`: lists published ports, what the outside of the host can reach of them, and which rule says so. */
export const listPorts = command({
  usage: "[OPTIONS] [CONTAINER]",
  args: [0, 1],
  flags: {
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    quiet: bool("Show addresses only", "q"),
  },
  async run({ flags, args, app }) {
    const rows = await reachablePorts(await app.connection(), args[0]);
    app.out(await renderListing(LISTING, rows, flags.format, flags.quiet));
  },
});

const LISTING: Listing<PortReach> = {
  shown: ["Container", "Port", "Target", "Outside", "Why"],
  quiet: "Port",
  type: "portContext",
  columns: {
    Container: { heading: "CONTAINER", of: ({ containerName, containerId }) => containerName || shortId(containerId) },
    ID: { heading: "CONTAINER ID", of: ({ containerId }) => shortId(containerId) },
    Port: { heading: "PORT", of: portOf },
    Target: { heading: "TARGET", of: ({ containerPort, protocol }) => `${containerPort}/${protocol}` },
    Policy: { heading: "POLICY", of: ({ policy }) => policy },
    Outside: { heading: "OUTSIDE", of: ({ reach }) => reach },
    Why: { heading: "WHY", of: ({ why }) => why },
  },
};

function portOf({ hostAddress, hostPort }: PortReach): string {
  return `${hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress}:${hostPort}`;
}
