import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { removeContainer } from "../client/containers.ts";
import { command, MANY } from "./command.ts";
import { each } from "./each.ts";
import { bool } from "./flags.ts";

/** `rm`: removes containers. */
export const rm = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  args: [1, MANY],
  flags: {
    force: bool("Kill a container that runs", "f"),
    link: bool("Remove the link of this name, not a container", "l"),
    volumes: bool("Remove its anonymous volumes, too", "v"),
  },
  async run({ flags, args, app }) {
    const connection = await app.connection();
    const remove = async (given: string): Promise<void> => {
      const name = given.replace(/^\/+|\/+$/g, "");
      if (name === "") throw new LighterError("invalid", "Container name cannot be empty");
      await removeContainer(connection, name, flags);
    };
    try {
      await each(app, args, remove);
    } catch (error) {
      // With --force it is no failure that a container is gone already; docker still says so.
      const errors = error instanceof LighterError && Array.isArray(error.cause) ? (error.cause as unknown[]) : [error];
      if (!flags.force || errors.some((one) => kindOf(one) !== "not-found")) throw error;
      app.err(`${messageOf(error)}\n`);
    }
  },
});
