import { LighterError } from "../base/errors.ts";
import { addMirror } from "../client/mirrors.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";
import { mirrorArguments } from "./mirror-arguments.ts";

/** `mirror add`: writes a mirror into the daemon's configuration file, which takes it up at once. */
export const mirrorAdd = command({
  usage: "[OPTIONS] [REGISTRY] URL",
  args: [1, 2],
  flags: { first: bool("Ask it before the mirrors that are there") },
  async run({ flags, args, app }) {
    const { registry, urls } = mirrorArguments(args);
    const [url] = urls;
    if (url === undefined) throw new LighterError("invalid", `Cannot add a mirror of ${registry}: its URL is missing`);
    await addMirror(await app.connection(), { Registry: registry, URL: url, First: flags.first });
    app.out(`${url}\n`);
  },
});
