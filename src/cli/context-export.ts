import { writeFileSync } from "node:fs";
import { LighterError, messageOf } from "../base/errors.ts";
import { command } from "./command.ts";
import { packContext } from "./context-archive.ts";
import { anyContext } from "./context-default.ts";
import { isTerminal } from "./is-terminal.ts";
import { write } from "./output.ts";

/** `context export`: writes a context with its certificates to a new file or to standard output. */
export const contextExport = command({
  usage: "[OPTIONS] CONTEXT [FILE|-]",
  args: [1, 2],
  flags: {},
  async run({ args, app }) {
    const [name = "", target = `${name}.dockercontext`] = args;
    const { context, tls } = anyContext(app, name);
    const archive = packContext(context, tls);
    if (target === "-") {
      if (isTerminal(1)) throw new LighterError("invalid", "cowardly refusing to export to a terminal, specify a file path");
      await write(1, archive);
      return;
    }
    try {
      writeFileSync(target, archive, { mode: 0o600, flag: "wx" });
    } catch (error) {
      const reason = { EEXIST: "file exists", ENOENT: "no such file or directory" }[(error as { code?: string }).code ?? ""];
      throw new LighterError("invalid", `open ${target}: ${reason ?? messageOf(error)}`, { cause: error });
    }
    app.err(`Written file ${JSON.stringify(target)}\n`);
  },
});
