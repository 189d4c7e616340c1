import { command } from "./command.ts";
import { chosenEndpoint } from "./context-create.ts";
import { checkContextName } from "./context-default.ts";
import { dockerEndpoint, dockerFlag } from "./context-docker-flag.ts";
import { readContext, readTls, writeContext } from "./contexts.ts";
import { string } from "./flags.ts";

/** `context update`: changes what a name stands for. */
export const contextUpdate = command({
  usage: "[OPTIONS] CONTEXT",
  args: 1,
  flags: {
    description: string("What to say of it in lists"),
    docker: dockerFlag("The daemon: host=..., ca=..., cert=..., key=..., skip-tls-verify=..., or from=CONTEXT"),
  },
  async run({ flags, given, args, app }) {
    const [name = ""] = args;
    checkContextName(name);
    const context = readContext(app.folder, name);
    const found = given("docker") ? chosenEndpoint(() => dockerEndpoint(app, flags.docker)) : undefined;
    if (flags.description !== "") context.Metadata.Description = flags.description;
    if (found) context.Endpoints.docker = found.endpoint;
    writeContext(app.folder, context, found ? found.tls : readTls(app.folder, name));
    app.out(`${name}\n`);
    app.err(`Successfully updated context ${JSON.stringify(name)}\n`);
    return Promise.resolve(0);
  },
});
