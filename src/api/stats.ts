import { LighterError } from "../base/errors.ts";
import type { ContainerStatsResponse } from "../wire/engine-api.ts";
import { json, param, type Answer, type ApiVersion, type Call } from "./call.ts";

/** One request of one container: one answer, or one each second until the container is removed or the client leaves. */
export async function stats(call: Call): Promise<Answer> {
  const stream = call.query.flag("stream", true);
  const oneShot = call.version >= 41 && call.query.flag("one-shot");
  if (stream && oneShot) throw new LighterError("invalid", "cannot have stream=true and one-shot=true");
  const answers = call.engine.containers.stats(param(call, "id"), { stream, oneShot, signal: call.signal });
  if (!stream) {
    const { value } = await answers.next();
    return json(value === undefined ? undefined : shapeStats(value, call.version));
  }
  return {
    status: 200,
    headers: { "Content-Type": "application/json" },
    stream: async (out) => {
      for await (const answer of answers) {
        if (!out.write(`${JSON.stringify(shapeStats(answer, call.version))}\n`)) await out.drained();
      }
    },
  };
}

/**
 * Ours: `GET /lighter/stats`, a list of what `/containers/{id}/stats` answers, of all running containers at once; with `all` of those that do not run,
 * too (zeros); with `container`, which may be repeated, of these alone.
 */
export async function allStats(call: Call): Promise<Answer> {
  const references = call.query.list("container");
  const answers = await call.engine.containers.allStats({ all: call.query.flag("all"), ...(references.length > 0 && { references }) });
  return json(answers.map((answer) => shapeStats(answer, call.version)));
}

/** `os_type` came with 1.52. */
function shapeStats(answer: ContainerStatsResponse, version: ApiVersion): ContainerStatsResponse {
  if (version >= 52) return answer;
  const { os_type: _, ...older } = answer;
  return older;
}
