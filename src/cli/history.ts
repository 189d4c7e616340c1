import { shortId } from "../base/ids.ts";
import { formatBytes, humanDuration } from "../base/units.ts";
import { imageHistory } from "../client/images.ts";
import type { ImageHistoryResponseItem } from "../wire/engine-api.ts";
import { command } from "./command.ts";
import { bool, string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";
import { ellipsis, zoneOffset } from "./text.ts";

const CREATED_BY_WIDTH = 45;

/** `history`: shows the steps that an image was made by. */
export const history = command({
  usage: "[OPTIONS] IMAGE",
  args: 1,
  flags: {
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    human: bool("Show sizes and times as people read them", { short: "H", initial: true, shown: "true" }),
    "no-trunc": bool("Show everything in full length"),
    platform: string("Show the steps of this platform's image (os/arch/variant)"),
    quiet: bool("Show IDs only", "q"),
  },
  async run({ flags, args, app }) {
    const rows = await imageHistory(await app.connection(), args[0] ?? "", { platform: flags.platform });
    const listing = historyListing(flags["no-trunc"], flags.human, Date.now());
    app.out(await renderListing(listing, rows, flags.format, flags.quiet));
  },
});

function historyListing(noTrunc: boolean, human: boolean, now: number): Listing<ImageHistoryResponseItem> {
  const since = (row: ImageHistoryResponseItem): string => (row.Created <= 0 ? "N/A" : `${humanDuration(now / 1000 - row.Created)} ago`);
  return {
    shown: ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
    quiet: "ID",
    type: "historyContext",
    columns: {
      ID: { heading: "IMAGE", of: ({ Id }) => (noTrunc ? Id : Id === "<missing>" ? Id : shortId(Id)) },
      CreatedAt: { heading: "CREATED AT", of: (row) => rfc3339(row.Created) },
      CreatedSince: { heading: human ? "CREATED" : "CREATED AT", of: (row) => (human ? since(row) : rfc3339(row.Created)) },
      CreatedBy: { heading: "CREATED BY", of: (row) => createdBy(row, noTrunc) },
      Size: { heading: "SIZE", of: ({ Size }) => (human ? formatBytes(Size, 3) : String(Size)) },
      Comment: { heading: "COMMENT", of: ({ Comment }) => Comment },
    },
  };
}

function createdBy(row: ImageHistoryResponseItem, noTrunc: boolean): string {
  const text = row.CreatedBy.replaceAll("\t", " ");
  return noTrunc ? text : ellipsis(text, CREATED_BY_WIDTH);
}

/** A time in the user's zone: `2026-11-22T18:14:47Z`. */
function rfc3339(seconds: number): string {
  const date = new Date(seconds * 1000);
  const offset = zoneOffset(date, ":");
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  return `${local}${offset === "+00:00" ? "Z" : offset}`;
}
