import { LighterError } from "../base/errors.ts";
import type { Call } from "./call.ts";
import type { Shape } from "./shape.ts";
import { shapeBody } from "./versions.ts";

/** No request of the Engine API has more JSON than this. */
const LIMIT = 16 << 20;
const decoder = new TextDecoder();

/**
 * The request's JSON body, checked, as the newest version says it; undefined for an empty one. Throws `invalid` with Docker's texts for another content type and for what is not JSON.
 */
export async function readJson<T>(call: Call, shape: Shape): Promise<T | undefined> {
  const type = call.header("content-type");
  if (call.body.length === 0) return undefined;
  const media = (type ?? "").split(";")[0]?.trim().toLowerCase();
  if (media !== "application/json" && !(media === "" && call.body.length === undefined)) {
    if (type === undefined && (await call.body.bytes(LIMIT)).length === 0) return undefined;
    throw new LighterError("invalid", `unsupported Content-Type header (${type ?? ""}): must be 'application/json'`);
  }
  const source = decoder.decode(await call.body.bytes(LIMIT));
  if (source.trim() === "") throw new LighterError("invalid", "invalid JSON: got EOF while reading request body");
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (cause) {
    throw new LighterError("invalid", `invalid JSON: ${(cause as Error).message.replace(/^JSON Parse error: /, "")}`, { cause });
  }
  if (value === null) return undefined;
  const checked = shape(value, "") as T;
  shapeBody(call, checked as Record<string, unknown>);
  return checked;
}
