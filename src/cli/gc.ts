import { shortId } from "../base/ids.ts";
import { formatBytes, humanDuration } from "../base/units.ts";
import { collectImages } from "../client/gc.ts";
import type { GcReport } from "../wire/gc-report.ts";
import { command } from "./command.ts";
import { bool, list, string } from "./flags.ts";
import { type Listing, renderListing } from "./format.ts";

/** Flags that change the daemon's policy for this run, by its keys. */
const POLICY = {
  high: string("Collect for space when the disk is fuller than this share (85%), or images take more than this size (50GB)"),
  "keep-recent": string("Leave alone what was used within this time (default 1h)"),
  "keep-tags": string("Keep so many of the newest tags of each repository"),
  low: string("Collect until the disk is no fuller than this (default: --high)"),
  "partials-for": string("Remove partial downloads that nobody went on with for this time (default 7d)"),
  "unused-for": string("Remove images that were not used for this time (720h, 30d)"),
};

/** `gc`: removes images that nothing needs, as the daemon's policy and these flags say. */
export const gc = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    all: bool("Show what stays, too, and why", "a"),
    "dry-run": bool("Only show what would go, why, and how much that is", "n"),
    format: string("How to show it: 'table', 'table TEMPLATE', 'json', or a Go template"),
    pin: list("Leave images of this name alone (* and ? stand for others)"),
    "pin-label": list("Leave images with this label alone (KEY or KEY=VALUE)"),
    ...POLICY,
  },
  async run({ flags, app }) {
    const changes: Record<string, unknown> = {};
    for (const key of Object.keys(POLICY) as (keyof typeof POLICY)[]) if (flags[key] !== "") changes[key] = flags[key];
    if (flags.pin.length > 0) changes["pins"] = flags.pin;
    if (flags["pin-label"].length > 0) changes["pin-labels"] = flags["pin-label"];
    const report = await collectImages(await app.connection(), changes, { dryRun: flags["dry-run"] });
    const rows = rowsOf(report, flags.all);
    const plain = flags.format === "" || flags.format === "table";
    if (!plain || rows.length > 0) app.out(await renderListing(listing(Date.now()), rows, flags.format, false));
    if (plain) app.out(`${summary(report)}\n`);
  },
});

/** A line of the table. */
interface GcRow {
  image: string;
  names: string[];
  bytes: number;
  lastUsed: string;
  action: "remove" | "untag" | "keep";
  why: string;
}

function rowsOf({ items, kept }: GcReport, all: boolean): GcRow[] {
  const goes = items.map((item): GcRow => ({ ...item, action: item.whole ? "remove" : "untag" }));
  const stays = kept.map((one): GcRow => ({ ...one, bytes: 0, action: "keep" }));
  return all ? [...goes, ...stays] : goes;
}

function listing(now: number): Listing<GcRow> {
  return {
    shown: ["Action", "Names", "ID", "Size", "LastUsed", "Why"],
    quiet: "ID",
    type: "gcContext",
    columns: {
      Action: { heading: "ACTION", of: ({ action }) => action },
      Names: { heading: "IMAGE", of: ({ names }) => (names.length === 0 ? "<none>" : names.join(",")) },
      ID: { heading: "IMAGE ID", of: ({ image }) => shortId(image) },
      Size: { heading: "FREES", of: ({ bytes, action }) => (action === "keep" ? "-" : formatBytes(bytes)) },
      LastUsed: { heading: "LAST USED", of: ({ lastUsed }) => `${humanDuration((now - Date.parse(lastUsed)) / 1000)} ago` },
      Why: { heading: "WHY", of: ({ why }) => why },
    },
  };
}

function summary({ items, freed, fullness, shortage, dryRun }: GcReport): string {
  const percent = fullness.total === 0 ? 0 : (fullness.used / fullness.total) * 100;
  const before = `Images took ${formatBytes(fullness.images)}, the disk was ${percent.toFixed(1)}% full`;
  const lacking = shortage !== undefined && freed < shortage.bytes ? `\nNot enough: ${shortage.why}, and nothing else may go` : "";
  const count = `${items.length} ${items.length === 1 ? "item" : "items"}`;
  return `${before}\n${dryRun ? `Would remove ${count} and free` : `Removed ${count}. Total reclaimed space:`} ${formatBytes(freed)}${lacking}`;
}
