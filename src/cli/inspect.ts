import { kindOf, LighterError } from "../base/errors.ts";
import { inspectContainer } from "../client/containers.ts";
import { inspectImage } from "../client/images.ts";
import { inspectNetwork } from "../client/networks.ts";
import { inspectForeign } from "../client/system.ts";
import { inspectVolume } from "../client/volumes.ts";
import { command, MANY } from "./command.ts";
import { bool, string } from "./flags.ts";
import { inspectObjects, type Lookup } from "./inspect-objects.ts";

/** Kinds that our own daemon does not have, and another one may: it is asked all the same. */
const FOREIGN = ["config", "node", "plugin", "secret", "service", "task"];

/** `inspect`: shows everything about containers, images, networks and volumes. */
export const inspect = command({
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  args: [1, MANY],
  flags: {
    format: string("How to show it: 'json' or a Go template", "f"),
    size: bool("Show how much disk space containers use", "s"),
    type: string("Look for this kind of object only"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    const lookups: Record<string, Lookup> = {
      container: (name) => inspectContainer(connection, name, { size: flags.size }),
      image: (name) => inspectImage(connection, name),
      network: (name) => inspectNetwork(connection, name),
      volume: (name) => inspectVolume(connection, name),
    };
    const chosen = flags.type === "" ? undefined : lookups[flags.type];
    if (flags.type !== "" && !chosen && !FOREIGN.includes(flags.type)) {
      throw new LighterError(
        "invalid",
        `unknown type: ${JSON.stringify(flags.type)}: must be one of "config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"`,
      );
    }
    if (flags.size && flags.type !== "" && flags.type !== "container") app.err(`WARNING: --size ignored for ${flags.type}\n`);
    if (chosen) return inspectObjects(app, args, flags.format, chosen);
    if (flags.type !== "") return inspectObjects(app, args, flags.format, (name) => inspectForeign(connection, flags.type, name));
    return inspectObjects(app, args, flags.format, (name) => firstFound(name, Object.values(lookups)));
  },
});

async function firstFound(name: string, lookups: readonly Lookup[]): Promise<unknown> {
  for (const lookup of lookups) {
    try {
      return await lookup(name);
    } catch (error) {
      // A name that cannot be that of an image may well be that of a network.
      if (kindOf(error) !== "not-found" && kindOf(error) !== "invalid") throw error;
    }
  }
  throw new LighterError("not-found", `Error: No such object: ${name}`);
}
