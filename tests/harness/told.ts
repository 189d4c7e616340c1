import type { Daemon } from "./daemon.ts";
import { SLOW } from "./until.ts";

/** An event as the API tells it. */
export interface Told {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  time: number;
  timeNano: number;
}

/** Seconds since the epoch as the API takes them, with nine digits. */
export function stamp(milliseconds = Date.now()): string {
  return (milliseconds / 1000).toFixed(9);
}

/** The stored events of a span of time, by default all up to now: what was told within this millisecond is later than its beginning. */
export async function eventsOf(
  daemon: Daemon,
  query: { since: string; until?: string; filters?: Record<string, string[]> },
): Promise<Told[]> {
  const { since, until = stamp(Date.now() + 1), filters } = query;
  const asked = filters === undefined ? "" : `&filters=${encodeURIComponent(JSON.stringify(filters))}`;
  const response = await daemon.api("GET", `/events?since=${since}&until=${until}${asked}`);
  const text = await response.text();
  if (!response.ok) throw new Error(`GET /events: ${response.status} ${text}`);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Told);
}

/** One line for an event: type, action, actor (ids as `ID`), and the attributes that are not always the same. */
export function lineOf({ Type, Action, Actor }: Told): string {
  const attributes = Object.entries(Actor.Attributes)
    // Older engines do not tell it, and it is a time.
    .filter(([key]) => key !== "execDuration")
    // What something takes of the disk depends on the file system.
    .map(([key, value]) => `${key}=${key === "reclaimed" ? "N" : shown(value)}`);
  return [Type, Action, `[${shown(Actor.ID)}]`, ...attributes.sort()].join(" ").replace(/ +/g, " ");
}

function shown(text: string): string {
  return /^(?:sha256:)?[0-9a-f]{64}$/.test(text) ? "ID" : text;
}

/** Does something and gives the lines of what was told meanwhile, once there are as many as `wanted` (or the patience is over: then what there is). */
export async function toldBy(daemon: Daemon, wanted: number, act: () => Promise<unknown>): Promise<string[]> {
  const since = stamp();
  await act();
  const end = performance.now() + 10_000 * SLOW;
  for (;;) {
    const lines = (await eventsOf(daemon, { since })).map(lineOf);
    if (lines.length >= wanted || performance.now() > end) return lines;
    await Bun.sleep(50);
  }
}
