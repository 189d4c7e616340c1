import { LighterError, messageOf } from "../base/errors.ts";
import { command } from "./command.ts";
import { contextName, DEFAULT_CONTEXT } from "./connect.ts";
import { anyContext, checkContextName, DEFAULT_DESCRIPTION } from "./context-default.ts";
import { dockerEndpoint, dockerFlag } from "./context-docker-flag.ts";
import { hasContext, writeContext } from "./contexts.ts";
import { string } from "./flags.ts";

/** `context create`: gives a daemon a name. */
export const contextCreate = command({
  usage: "[OPTIONS] CONTEXT",
  args: 1,
  flags: {
    description: string("What to say of it in lists"),
    docker: dockerFlag("The daemon: host=..., ca=..., cert=..., key=..., skip-tls-verify=..., or from=CONTEXT"),
    from: string("Copy this context"),
  },
  async run({ flags, given, args, app }) {
    const [name = ""] = args;
    checkContextName(name);
    if (hasContext(app.folder, name)) throw new LighterError("conflict", `context ${JSON.stringify(name)} already exists`);
    if (given("docker") && flags.from !== "") throw new LighterError("invalid", "cannot use --docker flag when --from is set");
    if (given("docker")) {
      const { endpoint, tls } = chosenEndpoint(() => dockerEndpoint(app, flags.docker));
      const Metadata = flags.description === "" ? {} : { Description: flags.description };
      writeContext(app.folder, { Name: name, Metadata, Endpoints: { docker: endpoint } }, tls);
    } else {
      const from = flags.from || contextName(app);
      const { context, tls } = anyContext(app, from);
      const kept = from === DEFAULT_CONTEXT ? { Description: DEFAULT_DESCRIPTION } : context.Metadata;
      const Metadata = flags.description === "" ? kept : { ...kept, Description: flags.description };
      writeContext(app.folder, { ...context, Name: name, Metadata }, tls);
    }
    app.out(`${name}\n`);
    app.err(`Successfully created context ${JSON.stringify(name)}\n`);
    return Promise.resolve(0);
  },
});

/** What went wrong with a `--docker` flag, as create and update say it. */
export function chosenEndpoint<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new LighterError("invalid", `unable to create docker endpoint config: ${messageOf(error)}`, { cause: error });
  }
}
