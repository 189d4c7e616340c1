import { existsSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { command } from "./command.ts";
import { unpackContext } from "./context-archive.ts";
import { checkContextName } from "./context-default.ts";
import { hasContext, writeContext } from "./contexts.ts";

/** `context import`: takes in a context that was exported, from a file or from standard input. */
export const contextImport = command({
  usage: "CONTEXT FILE|-",
  args: 2,
  flags: {},
  async run({ args, app }) {
    const [name = "", source = ""] = args;
    checkContextName(name);
    if (hasContext(app.folder, name)) throw new LighterError("conflict", `context ${JSON.stringify(name)} already exists`);
    if (source !== "-" && !existsSync(source)) throw new LighterError("invalid", `open ${source}: no such file or directory`);
    const { context, tls } = await unpackContext(source === "-" ? Bun.stdin.stream() : Bun.file(source).stream());
    writeContext(app.folder, { ...context, Name: name }, tls);
    app.out(`${name}\n`);
    app.err(`Successfully imported context ${JSON.stringify(name)}\n`);
  },
});
