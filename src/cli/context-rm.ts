import { LighterError } from "../base/errors.ts";
import { command, MANY } from "./command.ts";
import { saveConfig } from "./config-file.ts";
import { contextName, DEFAULT_CONTEXT } from "./connect.ts";
import { hasContext, removeContext } from "./contexts.ts";
import type { App } from "./app.ts";
import { bool } from "./flags.ts";

/** `context rm`: forgets names of daemons. */
export const contextRm = command({
  usage: "CONTEXT [CONTEXT...]",
  args: [1, MANY],
  flags: { force: bool("Remove it even where it is in use", "f") },
  async run({ flags, args, app }) {
    const current = contextName(app);
    const complaints: string[] = [];
    for (const name of args) {
      const complaint = whyNot(app, name, { current, force: flags.force });
      if (complaint !== undefined) {
        complaints.push(complaint);
        continue;
      }
      removeContext(app.folder, name);
      if (app.config.currentContext === name) {
        const { currentContext: _, ...config } = app.config;
        saveConfig(app.folder, config);
      }
      app.out(`${name}\n`);
    }
    if (complaints.length > 0) throw new LighterError("invalid", complaints.join("\n"));
    return Promise.resolve(0);
  },
});

function whyNot(app: App, name: string, { current, force }: { current: string; force: boolean }): string | undefined {
  const quoted = JSON.stringify(name);
  if (name === DEFAULT_CONTEXT) return `context ${quoted} cannot be removed`;
  if (force) return undefined;
  if (!hasContext(app.folder, name)) return `context ${quoted} does not exist`;
  return name === current ? `context ${quoted} is in use, set -f flag to force remove` : undefined;
}
