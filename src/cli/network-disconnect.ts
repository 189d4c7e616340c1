import { disconnectNetwork } from "../client/networks.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";

/** `network disconnect`: takes a container off a network. */
export const networkDisconnect = command({
  usage: "[OPTIONS] NETWORK CONTAINER",
  args: 2,
  flags: { force: bool("Do so also where the container is gone", "f") },
  async run({ flags, args, app }) {
    const [network = "", container = ""] = args;
    await disconnectNetwork(await app.connection(), network, container, flags.force);
  },
});
