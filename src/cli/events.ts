import { LighterError, messageOf } from "../base/errors.ts";
import { parseFilters } from "../client/filters.ts";
import { events as requestEvents, type EventLine } from "../client/system.ts";
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

async function renderer(format: string): Promise<(line: EventLine) => string> {
  if (format === "") return eventLine;
  if (format === "json") return ({ text }) => text;
  const { compileTemplate } = await import("./template.ts");
  try {
    const missing = (field: string): string => `can't evaluate field ${field} in type *events.Message`;
    const template = compileTemplate(format.replaceAll("\\t", "\t").replaceAll("\\n", "\n"), { missing });
    return (line) => template(templateData(line));
  } catch (error) {
    throw new LighterError("invalid", `Error parsing format: ${messageOf(error)}`, { cause: error });
  }
}

/** An event under the names that templates use; the fields of old daemons are empty where a new one leaves them out. */
function templateData({ event, nanoseconds }: EventLine): Record<string, unknown> {
  const { status = "", id = "", from = "" } = event as Record<string, unknown>;
  const { Type, Action, Actor, scope, time } = event;
  const data = { Status: status, ID: id, From: from, Type, Action, Actor, Scope: scope, Time: time, TimeNano: nanoseconds };
  // As a whole it is shown as the daemon sent it.
  return Object.defineProperty(data, "toJSON", { value: () => ({ ...event, timeNano: nanoseconds }) });
}

/** `2026-11-22T18:49:24.789177609Z container create ID (image=busybox, name=t1)`. */
export function eventLine({ event, nanoseconds }: EventLine): string {
  const attributes = Object.entries(event.Actor?.Attributes ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort();
  const shown = attributes.length > 0 ? ` (${attributes.join(", ")})` : "";
  return `${localNanoTime(nanoseconds)} ${event.Type ?? ""} ${event.Action ?? ""} ${event.Actor?.ID ?? ""}${shown}`;
}

/** A time in the user's zone with nine digits: `2026-11-22T18:49:24.789177609Z`. */
function localNanoTime(nanoseconds: bigint): string {
  const date = new Date(Number(nanoseconds / 1_000_000n));
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  const offset = zoneOffset(date, ":");
  return `${local}.${String(nanoseconds % 1_000_000_000n).padStart(9, "0")}${offset === "+00:00" ? "Z" : offset}`;
}
