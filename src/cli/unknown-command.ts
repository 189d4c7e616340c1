import { absence } from "./absent.ts";
import type { App } from "./app.ts";
import { didYouMean } from "./did-you-mean.ts";
import { GROUPS, TABLE } from "./table.ts";

/**
 * Says that a command is none of ours: why, where docker has it, else docker's sentence and what may have been meant.
 * @param group the management command before it, where there was one
 * @returns the exit code
 */
export function unknownCommand(app: App, word: string, group?: string): number {
  const called = group === undefined ? app.program : `${app.program} ${group}`;
  const absent = absence(`${called} ${word}`, group === undefined ? word : `${group} ${word}`);
  if (absent !== undefined) {
    app.err(`${absent}\n`);
    return 1;
  }
  const near = didYouMean(word, group === undefined ? topWords() : wordsOf(group));
  const hint = near.length === 0 ? "" : `\nDid you mean this?\n${near.map((name) => `  ${called} ${name}\n`).join("")}`;
  const usage = group === undefined ? "" : `\nUsage:  ${called}\n`;
  app.err(`${app.program}: unknown command: ${called} ${word}\n${hint}${usage}\nRun '${called} --help' for more information\n`);
  return 1;
}

function topWords(): string[] {
  return [...Object.keys(GROUPS), ...Object.keys(TABLE).filter((path) => !path.includes(" ") && !TABLE[path]?.hidden)];
}

function wordsOf(group: string): string[] {
  return Object.keys(TABLE)
    .filter((path) => path.startsWith(`${group} `) && !TABLE[path]?.hidden)
    .map((path) => path.slice(group.length + 1));
}
