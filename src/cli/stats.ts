import type { App } from "./app.ts";
import { command, MANY } from "./command.ts";
import { bool, string } from "./flags.ts";
import { type Listing, renderListing } from "./format.ts";
import { isTerminal } from "./is-terminal.ts";
import { statsListing } from "./stats-columns.ts";
import { type StatsLine, statsLines } from "./stats-source.ts";
import { terminalSize } from "./terminal.ts";

/** `stats`: shows what containers use of processors, memory, networks and disks, as it changes. */
export const stats = command({
  usage: "[OPTIONS] [CONTAINER...]",
  args: [0, MANY],
  flags: {
    all: bool("Show all containers, also those that do not run", { short: "a", shown: "shows just running" }),
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    "no-stream": bool("Show it once and end"),
    "no-trunc": bool("Show everything in full length"),
  },
  async run({ flags, args, app }) {
    const format = flags.format || (app.config.statsFormat ?? "");
    const listing = statsListing(flags["no-trunc"]);
    const stream = !flags["no-stream"];
    const screen = stream && isTerminal(1);
    let first = true;
    for await (const lines of statsLines(await app.connection(), { all: flags.all, names: args, stream })) {
      if (!screen) app.out(await renderListing(listing, lines, format, false));
      else await redraw(app, listing, lines, format, first);
      first = false;
    }
  },
});

/** Draws over what was there before: home, each line and what was behind it, then what was below. */
async function redraw(app: App, listing: Listing<StatsLine>, lines: readonly StatsLine[], format: string, first: boolean): Promise<void> {
  const { width, height } = terminalSize() ?? { width: 80, height: 24 };
  const text = (await withBars(listing, lines, format, width)) ?? (await renderListing(listing, lines, format, false));
  const all = text.replace(/\n$/, "").split("\n");
  const hidden = all.length - (height - 1);
  const shown = hidden > 0 ? [...all.slice(0, height - 2), `... ${hidden + 1} more`] : all;
  app.out(`${first ? "\u001b[2J" : ""}\u001b[H${shown.map((line) => `${line}\u001b[K\n`).join("")}\u001b[J`);
}

/** Ours: bars, where they fit and the user's terminal and wish (NO_COLOR) allow them. */
async function withBars(
  listing: Listing<StatsLine>,
  lines: readonly StatsLine[],
  format: string,
  width: number,
): Promise<string | undefined> {
  const { NO_COLOR = "", TERM = "" } = process.env;
  if (format !== "" || NO_COLOR !== "" || TERM === "" || TERM === "dumb") return undefined;
  const { tableWithBars } = await import("./stats-bars.ts");
  return tableWithBars(lines, listing.columns, listing.shown, { width, blocks: showsBlocks() });
}

function showsBlocks(): boolean {
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || "");
}
