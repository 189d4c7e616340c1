import { command } from "./command.ts";
import { saveConfig } from "./config-file.ts";
import { DEFAULT_CONTEXT } from "./connect.ts";
import { readContext } from "./contexts.ts";

/** `context use`: chooses the context for the calls to come. */
export const contextUse = command({
  usage: "CONTEXT",
  args: 1,
  flags: {},
  async run({ args, app }) {
    const [name = DEFAULT_CONTEXT] = args;
    if (name !== DEFAULT_CONTEXT) readContext(app.folder, name);
    const { currentContext: before, ...config } = app.config;
    if (before !== name) saveConfig(app.folder, name === DEFAULT_CONTEXT ? config : { ...config, currentContext: name });
    app.out(`${name}\n`);
    app.err(`Current context is now ${JSON.stringify(name)}\n`);
    if (name !== DEFAULT_CONTEXT && process.env["DOCKER_HOST"]) {
      app.err(
        "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.\n",
      );
    }
    return Promise.resolve(0);
  },
});
