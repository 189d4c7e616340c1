import type { Columns } from "./format.ts";
import { table } from "./format.ts";
import { numbersOf } from "./stats-numbers.ts";
import type { StatsLine } from "./stats-source.ts";

const WIDTH = 8;
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const FULL = "█";
/** From this share in percent on a bar is yellow, then red. */
const WARM = 60;
const HOT = 85;
const COLOURS = { cool: "\u001b[32m", warm: "\u001b[33m", hot: "\u001b[31m", none: "\u001b[0m" };

/** A share from 0 to 100 as a bar of eight characters, in eighths where the terminal shows them. */
export function bar(share: number, blocks: boolean): string {
  const eighths = Math.round((Math.min(Math.max(share, 0), 100) / 100) * WIDTH * 8);
  if (!blocks) return "|".repeat(Math.round(eighths / 8)).padEnd(WIDTH);
  return `${FULL.repeat(Math.floor(eighths / 8))}${EIGHTHS[eighths % 8]}`.padEnd(WIDTH);
}

/**
 * The table with a bar beside the shares of processors (all of the host's are 100) and of memory; undefined when it would be wider than the screen.
 */
export function tableWithBars(
  lines: readonly StatsLine[],
  columns: Columns<StatsLine>,
  shown: readonly string[],
  options: { width: number; blocks: boolean },
): string | undefined {
  const bars: { text: string; share: number }[][] = [];
  const rows = lines.map((line) => {
    const own: { text: string; share: number }[] = [];
    bars.push(own);
    return shown.map((name) => {
      const cell = String(columns[name]?.of(line));
      const share = shareOf(line, name);
      if (share === undefined) return cell;
      const text = bar(share, options.blocks);
      own.push({ text, share });
      return `${cell.padStart(7)} ${text}`;
    });
  });
  const text = table([shown.map((name) => columns[name]?.heading ?? ""), ...rows]);
  const all = text.split("\n");
  if (all.some((line) => Array.from(line).length > options.width)) return undefined;
  return all.map((line, index) => coloured(line, bars[index - 1] ?? [])).join("\n");
}

function shareOf({ stats }: StatsLine, column: string): number | undefined {
  if (stats === undefined || (column !== "CPUPerc" && column !== "MemPerc")) return undefined;
  const { cpu, processors, memoryShare } = numbersOf(stats);
  return column === "CPUPerc" ? cpu / processors : memoryShare;
}

function coloured(line: string, bars: readonly { text: string; share: number }[]): string {
  let done = "";
  let rest = line;
  for (const { text, share } of bars) {
    const filled = text.trimEnd();
    // A bar stands behind its percentage.
    const at = filled === "" ? -1 : rest.indexOf(`% ${filled}`);
    if (at < 0) continue;
    const colour = share >= HOT ? COLOURS.hot : share >= WARM ? COLOURS.warm : COLOURS.cool;
    done += `${rest.slice(0, at + 2)}${colour}${filled}${COLOURS.none}`;
    rest = rest.slice(at + 2 + filled.length);
  }
  return done + rest;
}
