import { LighterError } from "../base/errors.ts";
import type { UpdateBody } from "../containers/containers.ts";
import { json, param, type Answer, type Call } from "./call.ts";
import { healthcheck, limits, mount, portMap } from "./create-body.ts";
import { readJson } from "./read-json.ts";
import { flag, integer, listOf, mapOf, object, text, words } from "./shape.ts";

const texts = listOf(text);

/** Ours: what Docker cannot change of a container that exists. */
const edit = object({
  Env: object({ Set: texts, Remove: texts }),
  Labels: object({ Set: mapOf(text), Remove: texts }),
  Ports: object({ Add: portMap, Remove: texts }),
  Mounts: object({ Binds: texts, Mounts: listOf(mount), Remove: texts }),
  Healthcheck: healthcheck,
  LogOptions: object({ Set: mapOf(text), Remove: texts }),
  PublishAllPorts: flag,
  Aliases: mapOf(object({ Add: texts, Remove: texts })),
  Hostname: text,
  Domainname: text,
  User: text,
  WorkingDir: text,
  Entrypoint: words,
  Cmd: words,
  StopSignal: text,
  StopTimeout: integer,
});

const updateBody = object({ ...limits, RestartPolicy: object({ Name: text, MaximumRetryCount: integer }), Lighter: edit });

/** Changes a container: Docker's limits and restart policy, and what our own object names; `Pending` is there when something waits for the next start. */
export async function update(call: Call): Promise<Answer> {
  const id = param(call, "id");
  const body = await readJson<UpdateBody>(call, updateBody);
  if (body === undefined && (call.body.length ?? 0) === 0)
    throw new LighterError("invalid", "invalid JSON: got EOF while reading request body");
  const { warnings, pending } = await call.engine.containers.update(id, body ?? {});
  return json({ Warnings: warnings.length === 0 ? null : warnings, ...(pending.length > 0 && { Pending: pending }) });
}
