import { LighterError } from "../base/errors.ts";
import { command } from "./command.ts";
import { completionScripts } from "./completion-scripts.ts";

/** `completion`: prints the script that teaches a shell our words. */
export const completion = command({
  usage: "bash|zsh|fish|powershell",
  args: 1,
  flags: {},
  async run({ args, app }) {
    const [shell = ""] = args;
    const script = completionScripts(app.program)[shell];
    if (script === undefined)
      throw new LighterError(
        "invalid",
        `Cannot complete for ${JSON.stringify(shell)}: there are scripts for bash, zsh, fish and powershell`,
      );
    app.out(script);
    return Promise.resolve(0);
  },
});
