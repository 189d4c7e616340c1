import { LighterError } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import type { ContainerConfig } from "../wire/engine-api.ts";
import { json, type Answer, type Call } from "./call.ts";
import { createBody } from "./create-body.ts";
import { readJson } from "./read-json.ts";

/** Makes an image of a container; 201 with its id. A body replaces the container's configuration. */
export async function commit(call: Call): Promise<Answer> {
  const { query, signal } = call;
  const container = query.text("container");
  if (container === undefined) throw new LighterError("invalid", 'invalid name or ID supplied: ""');
  const config = await readJson<ContainerConfig>(call, createBody);
  const repository = query.text("repo");
  const tag = query.text("tag");
  if (repository !== undefined) parseReference(tag === undefined ? repository : `${repository}:${tag}`);
  const id = await call.engine.containers.commit(container, {
    ...(repository === undefined ? {} : { name: { repository, ...(tag === undefined ? {} : { tag }) } }),
    author: query.text("author") ?? "",
    comment: query.text("comment") ?? "",
    changes: query.list("changes"),
    pause: query.text("pause") === undefined || query.flag("pause"),
    ...(config === undefined || Object.keys(config).length === 0 ? {} : { config }),
    signal,
  });
  return json({ Id: id }, 201);
}
