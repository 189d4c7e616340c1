import type { VolumeCreateRequest } from "../wire/engine-api.ts";
import { noManager } from "./absent.ts";
import { done, json, param, type Answer, type Call } from "./call.ts";
import { readJson } from "./read-json.ts";
import { anything, mapOf, object, text } from "./shape.ts";

/** `docker volume ls`. */
export function list(call: Call): Answer {
  const volumes = call.engine.volumes.list(call.query.filters(["dangling", "driver", "label", "label!", "name"]));
  return json({ Volumes: volumes, Warnings: null });
}

const createBody = object({ Name: text, Driver: text, DriverOpts: mapOf(text), Labels: mapOf(text), ClusterVolumeSpec: anything });

/** Makes a volume, or shows the one that is there. */
export async function create(call: Call): Promise<Answer> {
  const body = (await readJson<VolumeCreateRequest>(call, createBody)) ?? {};
  if (body.ClusterVolumeSpec !== undefined) return noManager("cluster volumes need a swarm, which this engine does not have");
  const volume = await call.engine.volumes.create({
    ...(body.Name ? { name: body.Name } : {}),
    ...(body.Driver ? { driver: body.Driver } : {}),
    ...(body.DriverOpts && { driverOptions: body.DriverOpts }),
    ...(body.Labels && { labels: body.Labels }),
  });
  return json(volume, 201);
}

/** Everything about one volume. */
export function inspect(call: Call): Answer {
  return json(call.engine.volumes.inspect(param(call, "name")));
}

/** Removes a volume that no container has. */
export async function remove(call: Call): Promise<Answer> {
  await call.engine.volumes.remove(param(call, "name"), { force: call.query.flag("force") });
  return done();
}

/** Anonymous volumes only, unless the filter `all` says otherwise. */
export async function prune(call: Call): Promise<Answer> {
  const { deleted, bytes } = await call.engine.volumes.prune(call.query.filters(["all", "label", "label!"]));
  return json({ VolumesDeleted: deleted, SpaceReclaimed: bytes });
}
