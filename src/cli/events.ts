import { LighterError, messageOf } from "../base/errors.ts";
import { parseFilters } from "../client/filters.ts";
import { events as requestEvents } from "../client/system.ts";
import type { EventMessage } from "../wire/engine-api.ts";
import { command } from "./command.ts";
import { filter, string } from "./flags.ts";
import { zoneOffset } from "./text.ts";
import { timestampOf } from "./timestamp.ts";

/** `events`: shows what happens in the daemon as it happens. */
export const events = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    filter: filter(),
    format: string("How to show them: 'json' or a Go template"),
    since: string("Show what happened since a time or for a span"),
    until: string("End at a time, or a span ago"),
  },
  async run({ flags, app }) {
    const show = await renderer(flags.format);
    const filters = parseFilters(flags.filter);
    const now = new Date();
    const options = {
      since: timestampOf("since", flags.since, now),
      until: timestampOf("until", flags.until, now),
      ...(filters && { filters }),
    };
    for await (const event of requestEvents(await app.connection(), options)) app.out(`${show(event)}\n`);
  },
});

async function renderer(format: string): Promise<(event: EventMessage) => string> {
  if (format === "") return eventLine;
  if (format === "json") return (event) => JSON.stringify(event);
  const { compileTemplate } = await import("./template.ts");
  try {
    return compileTemplate(format.replaceAll("\\t", "\t").replaceAll("\\n", "\n"), {
      missing: (field) =>
        ["Status", "ID", "From", "Scope"].includes(field) ? undefined : `can't evaluate field ${field} in type *events.Message`,
    });
  } catch (error) {
    throw new LighterError("invalid", `Error parsing format: ${messageOf(error)}`, { cause: error });
  }
}

/** `2026-11-22T18:49:24.789177609Z container create ID (image=busybox, name=t1)`. */
export function eventLine(event: EventMessage): string {
  const attributes = Object.entries(event.Actor?.Attributes ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort();
  const time = nanoTime(event);
  return `${time} ${event.Type ?? ""} ${event.Action ?? ""} ${event.Actor?.ID ?? ""}${attributes.length > 0 ? ` (${attributes.join(", ")})` : ""}`;
}

/** The nanosecond field is beyond what a JSON number holds exactly: its seconds come from `time`, the rest is as near as it gets. */
function nanoTime(event: EventMessage): string {
  const seconds = event.time ?? Math.floor((event.timeNano ?? 0) / 1e9);
  const nanos = event.timeNano === undefined ? 0 : Number(BigInt(Math.round(event.timeNano)) - BigInt(seconds) * 1_000_000_000n);
  const date = new Date(seconds * 1000);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  const offset = zoneOffset(date, ":");
  return `${local}.${String(Math.min(Math.max(nanos, 0), 999_999_999)).padStart(9, "0")}${offset === "+00:00" ? "Z" : offset}`;
}
