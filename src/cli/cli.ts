import { LighterError, messageOf } from "../base/errors.ts";
import { App, type Globals, type Programs } from "./app.ts";
import type { Command } from "./command.ts";
import { bool, list, string, type Flags } from "./flags.ts";
import { print, printed } from "./output.ts";
import { parseFlags } from "./parse.ts";
import { GROUPS, resolve, TABLE } from "./table.ts";

/** The flags that stand before the command. */
export const GLOBAL_FLAGS = {
  config: string("Folder of the client's configuration"),
  context: string("Context to use, instead of DOCKER_HOST and the chosen one", "c"),
  debug: bool("Show debug messages", "D"),
  host: list("Socket of the daemon to talk to", "H"),
  "log-level": string('Least level of messages ("debug", "info", "warn", "error", "fatal")', { short: "l", shown: '"info"' }),
  tls: bool("Use TLS; implied by --tlsverify"),
  tlscacert: string("Trust certificates of this CA only"),
  tlscert: string("The client's certificate for TLS"),
  tlskey: string("The client's key for TLS"),
  tlsverify: bool("Use TLS and verify the daemon"),
  version: bool("Print the version and end", "v"),
} satisfies Flags;

const FLAG_ERROR = 125;
/** What docker takes: our own four and logrus' other words. */
const LOG_LEVELS = new Set(["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"]);

/**
 * Runs one command line.
 * @param argv0 the name that the program was called by: as `docker` it speaks as docker
 * @param programs what some commands run in the foreground
 * @returns the exit code
 */
export async function runCli(argv0: string, words: string[], programs: Programs = {}): Promise<number> {
  const code = await runWords(argv0, words, programs);
  await printed();
  return code;
}

async function runWords(argv0: string, words: string[], programs: Programs): Promise<number> {
  const program = argv0.slice(argv0.lastIndexOf("/") + 1) === "docker" ? "docker" : "lighter";
  if (words[0] === "__complete" || words[0] === "__completeNoDesc") {
    const { runComplete } = await import("./complete.ts");
    return runComplete(program, words.slice(1), words[0] === "__complete");
  }
  let parsed;
  try {
    parsed = parseFlags(GLOBAL_FLAGS, withoutHelp(words), { stopAtWord: true });
  } catch (error) {
    print(2, `${messageOf(error)}\n\nUsage:  ${program} [OPTIONS] COMMAND [ARG...]\n\nRun '${program} --help' for more information\n`);
    return FLAG_ERROR;
  }
  const app = new App(program, parsed.flags satisfies Globals, { programs });
  const level = parsed.flags["log-level"];
  if (level !== "" && !LOG_LEVELS.has(level.toLowerCase())) {
    app.err(`Unable to parse logging level: ${level}\n`);
    return 1;
  }
  if (parsed.flags.version) {
    const { versionLine } = await import("./version-line.ts");
    app.out(versionLine(program));
    return 0;
  }
  try {
    return await dispatch(app, parsed.args, words);
  } catch (error) {
    app.err(`${messageOf(error)}\n`);
    return 1;
  }
}

/** `--help` before the command means the program's own help: as if there were no command. */
function withoutHelp(words: string[]): string[] {
  return isHelp(words[0] ?? "") ? [] : words;
}

function isHelp(word: string): boolean {
  return word === "--help" || word === "-h";
}

async function dispatch(app: App, args: string[], words: string[]): Promise<number> {
  const [first, second] = args;
  if (first === undefined || (first === "help" && second === undefined)) {
    const [{ programHelp }, { pluginMetadata }] = await Promise.all([import("./help.ts"), import("./plugin-metadata.ts")]);
    const text = programHelp(app.program, GLOBAL_FLAGS, await pluginMetadata(app));
    // Help that was not asked for is a complaint.
    if (words.some(isHelp) || first === "help") app.out(text);
    else app.err(text);
    return 0;
  }
  if (first === "help") return dispatch(app, [...args.slice(1), "--help"], words);
  const alias = first === "builder" ? app.config.aliases?.["builder"] : undefined;
  if (alias) return aliased(app, alias.trim().split(/\s+/), args, words);
  if (first in GROUPS) return group(app, first, args.slice(1));
  const path = resolve(first);
  if (path !== undefined) return invoke(app, path, first, args.slice(1));
  const { runPlugin } = await import("./plugins.ts");
  return runPlugin(app, first, words);
}

/** `builder` may stand for a plugin: the one alias that docker's configuration has. */
function aliased(app: App, meaning: string[], args: string[], words: string[]): Promise<number> {
  return dispatch(app, [...meaning, ...args.slice(1)], words.toSpliced(words.indexOf("builder"), 1, ...meaning));
}

async function group(app: App, name: string, args: string[]): Promise<number> {
  const word = args.find((arg) => !arg.startsWith("-"));
  if (word === undefined) {
    const { groupHelp } = await import("./help.ts");
    if (args.some(isHelp)) app.out(groupHelp(app.program, name));
    else app.err(groupHelp(app.program, name));
    return 0;
  }
  const path = resolve(`${name} ${word}`);
  if (path !== undefined) return invoke(app, path, `${name} ${word}`, args.slice(args.indexOf(word) + 1));
  const { unknownCommand } = await import("./unknown-command.ts");
  return unknownCommand(app, word, name);
}

async function invoke(app: App, path: string, words: string, args: string[]): Promise<number> {
  const command = await TABLE[path]?.load();
  if (!command) throw new LighterError("internal", `command "${path}" has no code`);
  const called = `${app.program} ${words}`;
  const spec = { ...command.flags, help: bool("Print usage") };
  let parsed;
  try {
    parsed = parseFlags(spec, args, { stopAtWord: command.stopAtWord ?? false });
  } catch (error) {
    if (messageOf(error).startsWith("unknown shorthand flag: 'h' in -h")) return showHelp(app, called, path, command);
    const [{ usageLine }, { flagHint }] = await Promise.all([import("./help.ts"), import("./did-you-mean.ts")]);
    const hint = flagHint(messageOf(error), command.flags);
    app.err(`${messageOf(error)}\n${hint}\n${usageLine(called, command)}\n\nRun '${called} --help' for more information\n`);
    return FLAG_ERROR;
  }
  if (parsed.flags.help) return showHelp(app, called, path, command);
  const complaint = countComplaint(called, command, parsed.args.length);
  if (complaint !== undefined) {
    const { usageLine } = await import("./help.ts");
    const word = complaint.includes("at least") ? "See" : "Run";
    app.err(`${app.program}: ${complaint}\n\n${usageLine(called, command)}\n\n${word} '${called} --help' for more information\n`);
    return 1;
  }
  const { given } = parsed;
  return (await command.run({ flags: parsed.flags, given: (name) => given.has(name), args: parsed.args, called, app })) ?? 0;
}

async function showHelp(app: App, called: string, path: string, command: Command): Promise<number> {
  const { commandHelp } = await import("./help.ts");
  app.out(commandHelp(called, path, command));
  return 0;
}

/** Docker's sentence for a wrong number of arguments; undefined when it is right. */
function countComplaint(called: string, command: Command, count: number): string | undefined {
  const [least, most] = typeof command.args === "number" ? [command.args, command.args] : command.args;
  if (count >= least && count <= most) return undefined;
  const plural = (n: number): string => `${n} argument${n === 1 ? "" : "s"}`;
  if (most === 0) return `'${called}' accepts no arguments`;
  if (least === most) return `'${called}' requires ${plural(least)}`;
  if (count < least)
    return most === Number.POSITIVE_INFINITY
      ? `'${called}' requires at least ${plural(least)}`
      : `'${called}' requires at least ${least} and at most ${plural(most)}`;
  return least === 0
    ? `'${called}' requires at most ${plural(most)}`
    : `'${called}' requires at least ${least} and at most ${plural(most)}`;
}
