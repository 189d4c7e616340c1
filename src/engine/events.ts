import { now, type Nanoseconds } from "../base/clock.ts";
import { eventsAfter, eventsBetween, lastSequence, onEvents, type StoredEvent } from "../state/events.ts";
import type { Reader } from "../state/state.ts";
import { filterValues, matchLabels, type Filters } from "../wire/filters.ts";
import type { EventQuery } from "./engine.ts";

/** The longest time, in ms, that a timer takes; beyond it would fire at once. */
const LONGEST = 2 ** 31 - 1;

/** Calls back at a moment, however far away; the returned function calls it off. */
function callAt(moment: Nanoseconds, act: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const arm = (): void => {
    const left = Number((moment - now()) / 1_000_000n) + 1;
    timer = left > LONGEST ? setTimeout(arm, LONGEST) : setTimeout(act, Math.max(0, left));
  };
  arm();
  return () => clearTimeout(timer);
}

/**
 * The event stream of a query: what is stored of the past first (when `since` is given), then what is committed from now on.
 * The table is the only source, so that nothing is lost or told twice where the two meet.
 */
export async function* streamEvents(state: Reader, query: EventQuery): AsyncGenerator<StoredEvent> {
  let sequence = lastSequence(state);
  let wake = Promise.withResolvers<void>();
  const stop = onEvents(() => wake.resolve());
  let over = false;
  const end = (): void => {
    over = true;
    wake.resolve();
  };
  query.signal?.addEventListener("abort", end);
  const calm = query.until === undefined ? undefined : callAt(query.until, end);
  try {
    if (query.since !== undefined) {
      const until = query.until ?? now();
      let page = eventsBetween(state, query.since, until);
      while (page.length > 0 && query.signal?.aborted !== true) {
        for (const event of page) if (event.sequence <= sequence && matches(event, query.filters)) yield event;
        // A long past is read in pieces: others have their turn between them.
        await new Promise<void>((resolve) => void setImmediate(resolve));
        page = eventsBetween(state, query.since, until, page.at(-1));
      }
    }
    for (;;) {
      wake = Promise.withResolvers<void>();
      const batch = eventsAfter(state, sequence);
      for (const event of batch) {
        sequence = event.sequence;
        if (query.until !== undefined && event.time > query.until) return;
        if (matches(event, query.filters)) yield event;
      }
      if (batch.length > 0) continue;
      if (over || query.signal?.aborted) return;
      await wake.promise;
    }
  } finally {
    stop();
    calm?.();
    query.signal?.removeEventListener("abort", end);
  }
}

/** Filters for what only a cluster has: no event passes them. */
const NEVER = ["service", "node", "secret", "config"];

/** Whether an event passes Docker's filters: `event`, `type`, `container`, `image`, `network`, `volume`, `daemon`, `scope`, `label`. */
export function matches(event: StoredEvent, filters: Filters): boolean {
  const one = (key: string, test: (value: string) => boolean): boolean => filterValues(filters, key)?.some(test) ?? true;
  // `exec_start: sh` is found by `exec_start` as well as by its whole text.
  const actions = [event.action, event.action.split(":")[0] ?? ""];
  const named = (type: StoredEvent["type"]) => one(type, (value) => event.type === type && isNamed(event, value));
  return (
    one("event", (value) => actions.includes(value)) &&
    one("type", (value) => event.type === value) &&
    one("scope", (value) => value === "local") &&
    named("container") &&
    named("network") &&
    named("volume") &&
    named("daemon") &&
    named("plugin") &&
    NEVER.every((key) => !filters.has(key)) &&
    one("image", (value) => isOfImage(event, value)) &&
    matchLabels(filters, event.attributes)
  );
}

/** Docker takes the beginning of an id or of a name for the whole. */
function isNamed(event: StoredEvent, value: string): boolean {
  return event.actor.startsWith(value) || (event.attributes["name"]?.startsWith(value) ?? false);
}

function isOfImage(event: StoredEvent, value: string): boolean {
  const { name = "", image = "" } = event.attributes;
  const candidates = event.type === "image" ? [event.actor, name] : event.type === "container" ? [image] : [];
  return candidates.some((candidate) => candidate === value || untagged(candidate) === value);
}

/** `ubuntu:24.04` is found by `ubuntu`, too. */
function untagged(name: string): string {
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}
