import { LighterError } from "../base/errors.ts";
import type { Answer, Call } from "./call.ts";
import { done, json } from "./call.ts";
import { readJson } from "./read-json.ts";
import { registryAuth } from "./registry-auth.ts";
import { flag, listOf, object, text } from "./shape.ts";

const addBody = object({ Registry: text, URL: text, First: flag });
const testBody = object({ Registry: text, URLs: listOf(text), Image: text });

/** Ours: the mirrors of a registry, or of all that have some, in the order to ask them. */
export function list(call: Call): Answer {
  const registry = call.query.text("registry");
  const entries = call.engine.mirrors.list(registry || undefined);
  return json(
    entries.map(({ registry: Registry, url: URL, source: Source, failure }) => ({
      Registry,
      URL,
      Source,
      ...(failure && { Failure: failure.reason, Until: new Date(failure.until).toISOString() }),
    })),
  );
}

/** Ours: writes a mirror into the configuration file and uses it from now on. */
export async function add(call: Call): Promise<Answer> {
  const body = await readJson<{ Registry?: string; URL?: string; First?: boolean }>(call, addBody);
  if (!body?.URL) throw new LighterError("invalid", "Cannot add a mirror: URL is missing");
  await call.engine.mirrors.add(body.Registry ?? "", body.URL, { first: body.First ?? false });
  return done(201);
}

/** Ours: takes a mirror out of the configuration file. */
export async function remove(call: Call): Promise<Answer> {
  await call.engine.mirrors.remove(call.query.text("registry") ?? "", call.query.text("url") ?? "");
  return done();
}

/** Ours: measures the addresses of a registry and further ones. */
export async function test(call: Call): Promise<Answer> {
  const body = await readJson<{ Registry?: string; URLs?: string[]; Image?: string }>(call, testBody);
  const credentials = registryAuth(call);
  const measured = await call.engine.mirrors.test(body?.Registry ?? "", {
    urls: body?.URLs ?? [],
    ...(body?.Image ? { image: body.Image } : {}),
    ...(credentials && { credentials }),
    signal: call.signal,
  });
  return json(
    measured.map((each) => ({
      URL: each.url,
      Source: each.source,
      ...(each.latency !== undefined && { LatencyMs: each.latency }),
      ...(each.throughput !== undefined && { BytesPerSecond: each.throughput, Bytes: each.bytes }),
      ...(each.digest !== undefined && { Digest: each.digest }),
      ...(each.failure !== undefined && { Failure: each.failure }),
    })),
  );
}
