import { LighterError } from "../base/errors.ts";
import { toSeconds } from "../base/clock.ts";
import type { StoredEvent } from "../state/events.ts";
import type { Answer, Call } from "./call.ts";

/** Framings of the stream that clients may ask for by `Accept`. */
const TYPES = ["application/json-seq", "application/x-ndjson", "application/jsonl"] as const;

/** Stored events from `since` on, then new ones until `until` or the client leaves; each is sent at once. */
export function events(call: Call): Answer {
  const since = call.query.time("since", { zero: true });
  const until = call.query.time("until", { zero: true });
  if (since !== undefined && until !== undefined && since > until) {
    throw new LighterError("invalid", `\`since\` time (${toSeconds(since)}) cannot be after \`until\` time (${toSeconds(until)})`);
  }
  const { signal, version } = call;
  const query = { filters: call.query.filters(), signal, ...(since !== undefined && { since }), ...(until !== undefined && { until }) };
  const accept = call.header("accept") ?? "";
  const type = TYPES.find((name) => accept.includes(name)) ?? "application/json";
  const mark = type === "application/json-seq" ? "\u001e" : "";
  return {
    status: 200,
    headers: { "Content-Type": type },
    stream: async (out) => {
      for await (const event of call.engine.events(query)) {
        if (!out.write(`${mark}${encodeEvent(event, version)}\n`)) await out.drained();
      }
    },
  };
}

/** One event as JSON. `timeNano` is written by hand: it does not fit a JavaScript number. Before 1.52 three older fields say part of it again. */
export function encodeEvent(event: StoredEvent, version: number): string {
  const { type, action, actor, attributes, time } = event;
  const old: Record<string, string> = {};
  if (version < 52 && (type === "container" || type === "image")) {
    old["status"] = action;
    old["id"] = actor;
    if (type === "container" && attributes["image"] !== undefined) old["from"] = attributes["image"];
  }
  const text = JSON.stringify({
    ...old,
    Type: type,
    Action: action,
    Actor: { ID: actor, Attributes: attributes },
    scope: "local",
    time: toSeconds(time),
  });
  return `${text.slice(0, -1)},"timeNano":${time}}`;
}
