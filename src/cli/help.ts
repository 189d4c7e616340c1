import type { Command } from "./command.ts";
import type { Flag, Flags } from "./flags.ts";
import { aliasesOf, GROUPS, SECTIONS, TABLE } from "./table.ts";

const WIDTH = 80;

/** The usage line: `Usage:  docker ps [OPTIONS]`. */
export function usageLine(called: string, command: Command): string {
  return `Usage:  ${`${called} ${command.usage}`.trimEnd()}`;
}

/** What `COMMAND --help` prints. */
export function commandHelp(called: string, path: string, command: Command): string {
  const aliases = aliasesOf(path);
  const program = called.split(" ")[0] ?? "";
  const parts = [usageLine(called, command), TABLE[path]?.help ?? ""];
  if (aliases.length > 1) parts.push(`Aliases:\n  ${aliases.map((alias) => `${program} ${alias}`).join(", ")}`);
  const flags = flagsHelp(command.flags);
  if (flags !== "") parts.push(`Options:\n${flags}`);
  return `${parts.join("\n\n")}\n`;
}

/** What a management command alone prints: its commands. */
export function groupHelp(program: string, group: string): string {
  const entries = Object.entries(TABLE)
    .filter(([path, entry]) => path.startsWith(`${group} `) && !entry.hidden)
    .map(([path, entry]) => [path.slice(group.length + 1), entry.help] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = columns(entries);
  return `Usage:  ${program} ${group} COMMAND\n\n${GROUPS[group] ?? ""}\n\nCommands:\n${lines}\n\nRun '${program} ${group} COMMAND --help' for more information on a command.\n`;
}

/** What the program alone prints: all commands by section, installed plugins with a star, and the global options. */
export function programHelp(program: string, globals: Flags, plugins: readonly { Name: string; ShortDescription: string }[] = []): string {
  const common = SECTIONS.common.map((name) => [name, TABLE[name]?.help ?? ""] as const);
  const added = plugins.map(({ Name, ShortDescription }) => [`${Name}*`, ShortDescription] as const);
  const groups = [...Object.entries(GROUPS), ...added].sort(([a], [b]) => (a < b ? -1 : 1));
  const rest = Object.entries(TABLE)
    .filter(([path, entry]) => !path.includes(" ") && !SECTIONS.common.includes(path) && !entry.hidden)
    .map(([path, entry]) => [path, entry.help] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  // docker has no such command: its daemon is a program of its own.
  if (program !== "docker") rest.unshift(["daemon", "Run the daemon in the foreground"]);
  return [
    `Usage:  ${program} [OPTIONS] COMMAND`,
    "Runs containers",
    `Common Commands:\n${columns(common)}`,
    `Management Commands:\n${columns(groups)}`,
    `Commands:\n${columns(rest)}`,
    `Global Options:\n${flagsHelp(globals)}`,
    `Run '${program} COMMAND --help' for more information on a command.\n`,
  ].join("\n\n");
}

function columns(entries: readonly (readonly [string, string])[]): string {
  const width = Math.max(11, ...entries.map(([name]) => name.length)) + 1;
  return entries.map(([name, help]) => `  ${name.padEnd(width)}${help}`.trimEnd()).join("\n");
}

/** The options, one a line, wrapped at 80 columns. */
export function flagsHelp(flags: Flags): string {
  const entries = Object.entries(flags)
    .filter(([, flag]) => !flag.hidden)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const heads = entries.map(
    ([name, flag]) => `  ${flag.short === undefined ? "   " : `-${flag.short},`} --${name}${flag.type === "" ? "" : ` ${flag.type}`}`,
  );
  const width = Math.max(0, ...heads.map((head) => head.length)) + 3;
  return entries.map(([, flag], index) => `${(heads[index] ?? "").padEnd(width)}${wrap(text(flag), width)}`).join("\n");
}

function text(flag: Flag<unknown>): string {
  return flag.shown === undefined ? flag.help : `${flag.help} (default ${flag.shown})`;
}

function wrap(words: string, indent: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of words.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}
