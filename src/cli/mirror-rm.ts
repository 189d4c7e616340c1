import { LighterError } from "../base/errors.ts";
import { removeMirror } from "../client/mirrors.ts";
import { command, MANY } from "./command.ts";
import { mirrorArguments } from "./mirror-arguments.ts";

/** `mirror rm`: takes mirrors out of the daemon's configuration file. */
export const mirrorRm = command({
  usage: "[REGISTRY] URL [URL...]",
  args: [1, MANY],
  flags: {},
  async run({ args, app }) {
    const { registry, urls } = mirrorArguments(args);
    if (urls.length === 0) throw new LighterError("invalid", `Cannot remove a mirror of ${registry}: its URL is missing`);
    const connection = await app.connection();
    for (const url of urls) {
      await removeMirror(connection, registry, url);
      app.out(`${url}\n`);
    }
  },
});
