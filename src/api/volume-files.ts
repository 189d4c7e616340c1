import { LighterError } from "../base/errors.ts";
import type { Freeze } from "../volumes/backup.ts";
import { pour } from "./archive.ts";
import { done, json, param, type Answer, type Call } from "./call.ts";

/** Ours: a volume's files, labels and options as a tar archive. */
export async function backup(call: Call): Promise<Answer> {
  const archive = await call.engine.volumes.backup(param(call, "name"), freezing(call));
  return { status: 200, headers: { "Content-Type": "application/x-tar" }, stream: (out) => pour(archive, out, call.signal) };
}

/** Ours: a new volume of such an archive. */
export async function restore(call: Call): Promise<Answer> {
  return json(await call.engine.volumes.restore(param(call, "name"), call.body.stream()), 201);
}

/** Ours: a new volume with the files of another. */
export async function clone(call: Call): Promise<Answer> {
  return json(await call.engine.volumes.clone(param(call, "name"), newName(call), freezing(call)), 201);
}

/** Ours: another name. */
export async function rename(call: Call): Promise<Answer> {
  await call.engine.volumes.rename(param(call, "name"), newName(call));
  return done(204);
}

function newName(call: Call): string {
  const to = call.query.text("to");
  if (to === undefined) throw new LighterError("invalid", "bad parameter: to cannot be empty");
  return to;
}

/** With `pause`, containers that run with the volume stand still while it is copied; those that somebody paused stay so. */
export function freezing(call: Call): { freeze?: Freeze } {
  const { engine, query } = call;
  if (!query.flag("pause")) return {};
  return { freeze: (copy) => engine.freezer.frozen(engine.volumes.users(param(call, "name")), copy) };
}
