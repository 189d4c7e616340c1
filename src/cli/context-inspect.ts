import { command, MANY } from "./command.ts";
import { contextName, DEFAULT_CONTEXT } from "./connect.ts";
import { anyContext, IN_MEMORY } from "./context-default.ts";
import { contextFolders } from "./contexts.ts";
import { string } from "./flags.ts";
import { inspectObjects } from "./inspect-objects.ts";

/** `context inspect`: shows everything about contexts; about the one in use when none is named. */
export const contextInspect = command({
  usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
  args: [0, MANY],
  flags: { format: string("How to show it: 'json' or a Go template", "f") },
  async run({ flags, args, app }) {
    const names = args.length > 0 ? args : [contextName(app)];
    return inspectObjects(app, names, flags.format, (name) => {
      const { context, tls } = anyContext(app, name);
      const files = Object.keys(tls);
      const folders = contextFolders(app.folder, name);
      const standing = name === DEFAULT_CONTEXT;
      return Promise.resolve({
        ...context,
        TLSMaterial: files.length > 0 ? { docker: files } : {},
        Storage: { MetadataPath: standing ? IN_MEMORY : folders.meta, TLSPath: standing ? IN_MEMORY : folders.tls },
      });
    });
  },
});
