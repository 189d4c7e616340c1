import { messageOf } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";
import type { App } from "./app.ts";
import { bool, filter } from "./flags.ts";
import { confirm } from "./prompt.ts";

/** The flags that all `prune` commands share. */
export const PRUNE_FLAGS = {
  filter: filter("Remove only what matches the condition", {}),
  force: bool("Do not ask", "f"),
};

/** Asks first unless `--force` is given, then removes, and says what is gone and how much space that freed. */
export async function prune(
  app: App,
  force: boolean,
  warning: string,
  remove: () => Promise<{ title: string; lines: readonly string[]; reclaimed?: number }>,
): Promise<number> {
  if (!force && !(await confirm(app, `WARNING! ${warning}`))) return 0;
  try {
    const { title, lines, reclaimed } = await remove();
    if (lines.length > 0) app.out(`${title}:\n${lines.map((line) => `${line}\n`).join("")}\n`);
    if (reclaimed !== undefined) app.out(`Total reclaimed space: ${formatBytes(reclaimed)}\n`);
    return 0;
  } catch (error) {
    app.err(`${messageOf(error)}\n`);
    return 1;
  }
}
