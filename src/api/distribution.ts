import { LighterError } from "../base/errors.ts";
import { json, param, type Answer, type Call } from "./call.ts";
import { registryAuth } from "./registry-auth.ts";

/** What a registry has under a name: `docker service create` and tools for updates ask. */
export async function distribution(call: Call): Promise<Answer> {
  const credentials = registryAuth(call);
  const { signal } = call;
  return json(await call.engine.images.remote(param(call, "name"), { signal, ...(credentials && { credentials }) }));
}

/** `docker search`. */
export async function search(call: Call): Promise<Answer> {
  const { query, signal } = call;
  const filters = query.filters(["is-automated", "is-official", "stars"]);
  const credentials = registryAuth(call);
  const limit = limitOf(call);
  return json(await call.engine.images.search(query.text("term") ?? "", { filters, limit, signal, ...(credentials && { credentials }) }));
}

function limitOf(call: Call): number {
  const text = call.query.text("limit");
  if (text === undefined) return 0;
  if (/^[+-]?\d{1,18}$/.test(text) && Number(text) >= 0) return Number(text);
  throw new LighterError("invalid", `invalid limit specified: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
}
