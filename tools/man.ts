/**
 * `bun tools/man.ts [folder]`: writes a manual page for every command, by default into `dist/man/man1`, from the same declarations that
 * help and completion read. Layout: man-pages(7), macros: groff_man(7).
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import packageJson from "../package.json";
import { GLOBAL_FLAGS } from "../src/cli/cli.ts";
import type { Command } from "../src/cli/command.ts";
import type { Flags } from "../src/cli/flags.ts";
import { aliasesOf, GROUPS, TABLE } from "../src/cli/table.ts";

const PROGRAM = "lighter";
/** Of the pages: SOURCE_DATE_EPOCH's, so that a build can be repeated, else today's. */
const DATE = new Date(process.env["SOURCE_DATE_EPOCH"] === undefined ? Date.now() : Number(process.env["SOURCE_DATE_EPOCH"]) * 1000)
  .toISOString()
  .slice(0, 10);

/** Exit codes of commands that run a program in a container; the others end with 0, 1 or 125. */
const RUNS_A_PROGRAM = ["run", "exec", "start", "attach"];

/** Every page by its file name. */
export async function manualPages(): Promise<Map<string, string>> {
  const pages = new Map<string, string>();
  pages.set(`${PROGRAM}.1`, mainPage());
  for (const group of Object.keys(GROUPS)) pages.set(`${PROGRAM}-${group}.1`, groupPage(group));
  for (const [path, entry] of Object.entries(TABLE)) {
    if (!entry.hidden) pages.set(`${nameOf(path)}.1`, commandPage(path, entry.help, await entry.load()));
  }
  return pages;
}

function nameOf(path: string): string {
  return `${PROGRAM}-${path.replaceAll(" ", "-")}`;
}

function head(name: string, help: string): string[] {
  const title = `.TH ${quoted(name.toUpperCase())} 1 ${DATE} ${quoted(`Lighter ${packageJson.version}`)} "Lighter's commands"`;
  return [title, ".SH NAME", `${escape(name)} \\- ${escape(lowerFirst(help))}`];
}

function mainPage(): string {
  const commands = Object.entries(TABLE).filter(([path, { hidden }]) => !path.includes(" ") && !hidden);
  const entries = [...Object.entries(GROUPS), ...commands.map(([path, { help }]) => [path, help] as const)].toSorted(([a], [b]) =>
    a < b ? -1 : 1,
  );
  return page([
    ...head(PROGRAM, "Runs containers"),
    ".SH SYNOPSIS",
    `.B ${PROGRAM}`,
    escape("[OPTIONS] COMMAND [ARG...]"),
    ".SH DESCRIPTION",
    "Runs containers, and does what goes with that: images, networks, volumes.",
    "The daemon is started in the background when none listens, and goes on when this command has ended.",
    ".SH COMMANDS",
    ...entries.flatMap(([name, help]) => [".TP", `\\fB${nameOf(name).replaceAll("-", "\\-")}\\fR(1)`, sentence(help)]),
    ...optionsOf(GLOBAL_FLAGS),
    ".SH ENVIRONMENT",
    ...ENVIRONMENT.flatMap(([name, help]) => [".TP", `.B ${name}`, sentence(help)]),
    ".SH FILES",
    ".TP",
    ".I ~/.docker/config.json",
    "The client's settings and logins, shared with docker.",
    ".TP",
    ".I /run/lighter/lighter.sock",
    "The daemon's socket.",
    ...EXIT_STATUS,
  ]);
}

const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ["DOCKER_HOST", "The daemon to talk to: unix://, tcp:// or ssh://"],
  ["DOCKER_CONTEXT", "The context to use"],
  ["DOCKER_CONFIG", "The folder of the client's settings"],
  ["DOCKER_TLS_VERIFY", "Use TLS and verify the daemon"],
  ["DOCKER_CERT_PATH", "The folder of ca.pem, cert.pem and key.pem"],
  ["DOCKER_API_VERSION", "The version of the API to speak, in place of the newest that both know"],
];

const EXIT_STATUS = [
  ".SH EXIT STATUS",
  ".TP",
  ".B 0",
  "All went well.",
  ".TP",
  ".B 1",
  "The daemon refused, or something asked for is not there.",
  ".TP",
  ".B 125",
  "The command line is wrong, or the daemon could not start the container.",
];

const EXIT_STATUS_OF_PROGRAMS = [
  ".TP",
  ".B 126",
  "The program cannot be run.",
  ".TP",
  ".B 127",
  "The program is not there.",
  ".TP",
  ".B 128+N",
  "Signal N ended the program.",
  ".PP",
  "Any other is the program's own.",
];

function groupPage(group: string): string {
  const entries = Object.entries(TABLE).filter(([path, { hidden }]) => path.startsWith(`${group} `) && !hidden);
  return page([
    ...head(`${PROGRAM}-${group}`, GROUPS[group] ?? ""),
    ".SH SYNOPSIS",
    `.B ${PROGRAM} ${group}`,
    "COMMAND",
    ".SH COMMANDS",
    ...entries.flatMap(([path, { help }]) => [".TP", `\\fB${escape(nameOf(path))}\\fR(1)`, sentence(help)]),
    ...seeAlso([PROGRAM]),
  ]);
}

function commandPage(path: string, help: string, command: Command): string {
  const others = aliasesOf(path).filter((alias) => alias !== path);
  const verb = path.split(" ").at(-1) ?? "";
  return page([
    ...head(nameOf(path), help),
    ".SH SYNOPSIS",
    `.B ${PROGRAM} ${escape(path)}`,
    ...(command.usage === "" ? [] : [escape(command.usage)]),
    ".SH DESCRIPTION",
    sentence(help),
    ...(others.length === 0
      ? []
      : [".PP", "The same command:", `${others.map((alias) => `\\fB${PROGRAM} ${escape(alias)}\\fR`).join(", ")}.`]),
    ...optionsOf(command.flags),
    ...EXIT_STATUS,
    ...(RUNS_A_PROGRAM.includes(verb) ? EXIT_STATUS_OF_PROGRAMS : []),
    ...seeAlso([PROGRAM, ...(path.includes(" ") ? [`${PROGRAM}-${path.split(" ")[0]}`] : [])]),
  ]);
}

function optionsOf(flags: Flags): string[] {
  const entries = Object.entries(flags)
    .filter(([, { hidden }]) => !hidden)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return [];
  const lines = entries.flatMap(([name, { short, type, help, shown }]) => {
    const names = [...(short === undefined ? [] : [`\\fB\\-${short}\\fR`]), `\\fB\\-\\-${escape(name)}\\fR`].join(", ");
    const text = shown === undefined ? help : `${help} (default ${shown})`;
    return [".TP", type === "" ? names : `${names} \\fI${escape(type)}\\fR`, sentence(text)];
  });
  return [".SH OPTIONS", ...lines];
}

function seeAlso(names: readonly string[]): string[] {
  return [".SH SEE ALSO", names.map((name) => `\\fB${escape(name)}\\fR(1)`).join(", ")];
}

function page(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

/** A help text as a sentence; a line that begins with a dot or a quote would be a request. */
function sentence(text: string): string {
  return `${escape(text).replace(/^([.'])/, "\\&$1")}.`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("'", "\\(aq").replaceAll("~", "\\(ti").replaceAll("^", "\\(ha");
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}

if (import.meta.main) {
  const folder = process.argv[2] ?? join(import.meta.dir, "../dist/man/man1");
  await mkdir(folder, { recursive: true });
  const pages = await manualPages();
  for (const [name, text] of pages) await Bun.write(join(folder, name), text);
  console.log(`${pages.size} pages in ${folder}`);
}
