import { LighterError } from "../base/errors.ts";
import { done, json, type Answer, type Call } from "./call.ts";
import { readJson } from "./read-json.ts";
import { anything, type Shape } from "./shape.ts";

const policy: Shape = (value, path) => {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return anything(value, path);
  throw new LighterError("invalid", "invalid JSON: the policy is not an object");
};

/** Ours: collects unused images by the daemon's policy with the body's keys on top (as in daemon.json's `gc`); with `dry-run` says what would go. */
export async function collect(call: Call): Promise<Answer> {
  const changes = (await readJson<Record<string, unknown>>(call, policy)) ?? {};
  return json(await call.engine.gc.run({ dryRun: call.query.flag("dry-run"), changes }));
}

/** Ours: whether unused images go by themselves, and what went last. */
export function status(call: Call): Answer {
  return json(call.engine.gc.status());
}

/** Ours: patterns of image names that stay. */
export function pins(call: Call): Answer {
  return json({ pins: call.engine.images.pins.list() });
}

/** Ours: adds a pin. */
export function pin(call: Call): Answer {
  call.engine.images.pins.add(patternOf(call));
  return done(201);
}

/** Ours: takes a pin away. */
export function unpin(call: Call): Answer {
  call.engine.images.pins.remove(patternOf(call));
  return done(204);
}

function patternOf(call: Call): string {
  const pattern = call.query.text("pattern");
  if (pattern === undefined) throw new LighterError("invalid", "bad parameter: pattern cannot be empty");
  return pattern;
}
