import { App, type Globals } from "./app.ts";
import { GLOBAL_FLAGS } from "./cli.ts";
import { argumentSource, valueSource } from "./completion-rules.ts";
import { DIRECTIVE, nothing, type Candidate, type Completion, type Source } from "./completion-values.ts";
import { bool, type Flags } from "./flags.ts";
import { parseFlags } from "./parse.ts";
import { installedPlugins, runPlugin } from "./plugins.ts";
import { GROUPS, resolve, TABLE } from "./table.ts";

/** Offered while a word is typed, and no longer than this: a daemon that does not answer must not hold up a shell. */
const PATIENCE_MS = 3000;

/**
 * The hidden commands `__complete` and `__completeNoDesc`: prints what may stand at the place of the last word, a candidate a line with
 * its help behind a tab, and a line `:BITS` for the shell (the protocol of cobra's scripts, which docker's completion speaks).
 */
export async function runComplete(program: string, words: string[], withHelp: boolean): Promise<number> {
  const typed = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const { globals, rest } = leadingGlobals(before);
  const app = new App(program, globals, { wake: false });
  const [first] = rest;
  if (first !== undefined && !(first in GROUPS) && resolve(first) === undefined && installedPlugins(app).includes(first)) {
    return runPlugin(app, first, [withHelp ? "__complete" : "__completeNoDesc", ...words]);
  }
  const { candidates, directive } = await find(app, before, rest, typed);
  const lines = candidates
    .filter(({ value }) => value.startsWith(typed))
    .map(({ value, help = "" }) => (withHelp && help !== "" ? `${value}\t${help.split("\n")[0] ?? ""}` : value));
  app.out(`${[...new Set(lines), `:${directive}`].join("\n")}\n`);
  return 0;
}

/** The global flags that stand before the command, as far as they can be read, and the words from the command on. */
function leadingGlobals(before: string[]): { globals: Globals; rest: string[] } {
  for (let length = before.length; length > 0; length--) {
    try {
      const { flags, args } = parseFlags(GLOBAL_FLAGS, before.slice(0, length), { stopAtWord: true });
      return { globals: flags satisfies Globals, rest: args };
    } catch {
      // The last word may be a flag whose value is being typed.
    }
  }
  return { globals: parseFlags(GLOBAL_FLAGS, []).flags satisfies Globals, rest: [] };
}

async function find(app: App, before: string[], rest: string[], typed: string): Promise<Completion> {
  if (rest.length === 0) return globalPlace(app, before, typed);
  const [first = "", second] = rest;
  if (first in GROUPS) {
    const path = second === undefined ? undefined : resolve(`${first} ${second}`);
    if (second === undefined) return typed.startsWith("-") ? flagNames({}, new Set(), typed) : listed(commandsOf(first));
    return path === undefined ? nothing(app, typed) : commandPlace(app, path, rest.slice(2), typed);
  }
  const path = resolve(first);
  return path === undefined ? nothing(app, typed) : commandPlace(app, path, rest.slice(1), typed);
}

async function globalPlace(app: App, before: string[], typed: string): Promise<Completion> {
  const value = valuePlace(GLOBAL_FLAGS, before, typed);
  if (value) return ask(app, valueSource("", value.flag), typed, value.prefix);
  if (typed.startsWith("-")) return flagNames(GLOBAL_FLAGS, new Set(), typed);
  const groups = Object.entries(GROUPS).map(([name, help]) => ({ value: name, help }));
  const commands = Object.entries(TABLE).filter(([path, { hidden }]) => !path.includes(" ") && !hidden);
  const plugins = installedPlugins(app).map((name) => ({ value: name, help: "Plugin of docker's command line" }));
  return listed([...groups, ...commands.map(([value, { help }]) => ({ value, help })), ...plugins]);
}

async function commandPlace(app: App, path: string, args: string[], typed: string): Promise<Completion> {
  const command = await TABLE[path]?.load();
  if (!command) return nothing(app, typed);
  const flags: Flags = { ...command.flags, help: bool("Print usage") };
  const { words, given, ended } = wordsOf(flags, args, command.stopAtWord ?? false);
  const value = ended ? undefined : valuePlace(flags, args, typed);
  if (value) return ask(app, valueSource(path, value.flag), typed, value.prefix);
  if (typed.startsWith("-") && !ended) return flagNames(flags, given, typed);
  const found = await ask(app, argumentSource(path, words), typed);
  return { ...found, candidates: found.candidates.filter((candidate) => !words.includes(candidate.value)) };
}

/** Asks a source; a daemon that does not answer in time, or at all, has nothing to offer. `prefix` stands before each candidate. */
async function ask(app: App, source: Source, typed: string, prefix = ""): Promise<Completion> {
  const late = Bun.sleep(PATIENCE_MS).then((): Completion => ({ candidates: [], directive: DIRECTIVE.error }));
  const asked = source(app, typed.slice(prefix.length)).catch((): Completion => ({ candidates: [], directive: DIRECTIVE.noFiles }));
  const { candidates, directive } = await Promise.race([asked, late]);
  return { candidates: candidates.map(({ value, ...more }) => ({ ...more, value: `${prefix}${value}` })), directive };
}

/** The flag whose value is at the cursor: `--flag VALUE`, `-f VALUE` or `--flag=VALUE`, the last with what stands before the value. */
function valuePlace(flags: Flags, before: readonly string[], typed: string): { flag: string; prefix: string } | undefined {
  const [, name, assigned] = /^--([^=]+)(=)/.exec(typed) ?? [];
  if (assigned !== undefined) {
    const flag = named(flags, name ?? "");
    return flag === undefined ? undefined : { flag, prefix: `--${name}=` };
  }
  const last = before.at(-1) ?? "";
  const flag = last.startsWith("--")
    ? named(flags, last.slice(2))
    : /^-[^-]+$/.test(last)
      ? shorthand(flags, last.at(-1) ?? "")
      : undefined;
  return flag !== undefined && flags[flag]?.bare === undefined ? { flag, prefix: "" } : undefined;
}

function named(flags: Flags, name: string): string | undefined {
  return name in flags ? name : Object.keys(flags).find((key) => flags[key]?.aliases?.includes(name));
}

function shorthand(flags: Flags, letter: string): string | undefined {
  return Object.keys(flags).find((name) => flags[name]?.short === letter);
}

/** The arguments among the words, which flags stand there, and whether flags have ended. */
function wordsOf(flags: Flags, args: readonly string[], stopAtWord: boolean): { words: string[]; given: Set<string>; ended: boolean } {
  const words: string[] = [];
  const given = new Set<string>();
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    if (word === "--") return { words: [...words, ...args.slice(at + 1)], given, ended: true };
    if (!word.startsWith("-") || word === "-") {
      if (stopAtWord) return { words: [...words, ...args.slice(at)], given, ended: true };
      words.push(word);
      continue;
    }
    const flag = word.startsWith("--") ? named(flags, word.slice(2).split("=")[0] ?? "") : shorthand(flags, word.at(-1) ?? "");
    if (flag === undefined) continue;
    given.add(flag);
    if (!word.includes("=") && flags[flag]?.bare === undefined) at++;
  }
  return { words, given, ended: false };
}

/** The flags that may still be given: those that gather values again and again. */
function flagNames(flags: Flags, given: ReadonlySet<string>, typed: string): Promise<Completion> {
  const open = Object.entries(flags).filter(([name, flag]) => !flag.hidden && (!given.has(name) || typeof flag.initial === "object"));
  const long = open.map(([name, { help }]) => ({ value: `--${name}`, help }));
  const short = typed.startsWith("--")
    ? []
    : open.flatMap(([, { short: letter, help }]) => (letter === undefined ? [] : [{ value: `-${letter}`, help }]));
  return listed([...long, ...short]);
}

function commandsOf(group: string): Candidate[] {
  return Object.entries(TABLE)
    .filter(([path, { hidden }]) => path.startsWith(`${group} `) && !hidden)
    .map(([path, { help }]) => ({ value: path.slice(group.length + 1), help }));
}

function listed(candidates: Candidate[]): Promise<Completion> {
  const sorted = candidates.toSorted((a, b) => (a.value < b.value ? -1 : 1));
  return Promise.resolve({ candidates: sorted, directive: DIRECTIVE.noFiles });
}
