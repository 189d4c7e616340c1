import { connectNetwork } from "../client/networks.ts";
import { command } from "./command.ts";
import { int, keyValue, list, string, strings } from "./flags.ts";
import { attachmentTo, endpointOf } from "./network-flag.ts";

/** `network connect`: connects a container to a network. */
export const networkConnect = command({
  usage: "[OPTIONS] NETWORK CONTAINER",
  args: 2,
  flags: {
    alias: strings("Another name of the container on the network"),
    "driver-opt": strings("Option of the network's driver"),
    "gw-priority": int("The network of the highest priority gives the default gateway"),
    ip: { ...string("IPv4 address"), type: "ip" },
    ip6: { ...string("IPv6 address"), type: "ip" },
    link: list("Make another container known by a name (name:alias)"),
    "link-local-ip": list("Link-local address", undefined, "ipSlice"),
  },
  async run({ flags, args, app }) {
    const [network = "", container = ""] = args;
    const settings = endpointOf({
      ...attachmentTo(network),
      aliases: flags.alias,
      links: flags.link,
      linkLocalIps: flags["link-local-ip"].flatMap((one) => one.split(",")),
      driverOpts: Object.assign({}, ...flags["driver-opt"].map(keyValue)) as Record<string, string>,
      ip: flags.ip,
      ip6: flags.ip6,
      gatewayPriority: flags["gw-priority"],
    });
    await connectNetwork(await app.connection(), network, container, settings);
  },
});
