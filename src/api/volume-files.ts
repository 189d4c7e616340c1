import { LighterError } from "../base/errors.ts";
import { renameVolume } from "../engine/rename-volume.ts";
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

/** Ours: what volumes hold, the largest first; `name` may stand several times. */
export async function usage(call: Call): Promise<Answer> {
  const measures = await call.engine.volumes.measure(call.query.list("name"), { signal: call.signal });
  return json(
    measures.map(({ name, bytes, files, limit, containers, unreachable }) => ({
      Name: name,
      Size: bytes,
      Files: files,
      Limit: limit ?? null,
      Containers: containers,
      ...(unreachable !== undefined && { Unreachable: unreachable }),
    })),
  );
}

/** Ours: what a volume has against another one. */
export async function compare(call: Call): Promise<Answer> {
  const other = call.query.text("with");
  if (other === undefined) throw new LighterError("invalid", "bad parameter: with cannot be empty");
  return changes(call, other);
}

/** Ours: what a volume has against an archive of it. */
export async function compareBackup(call: Call): Promise<Answer> {
  return changes(call, call.body.stream());
}

async function changes(call: Call, other: Parameters<Call["engine"]["volumes"]["compare"]>[1]): Promise<Answer> {
  const options = { contents: call.query.flag("contents"), signal: call.signal };
  const found = await call.engine.volumes.compare(param(call, "name"), other, options);
  return json(found.map(({ kind, path }) => ({ Path: path, Kind: KINDS.indexOf(kind) })));
}

/** As of a container's changes. */
const KINDS: readonly string[] = ["C", "A", "D"];

/** Ours: another name. */
export async function rename(call: Call): Promise<Answer> {
  await renameVolume(call.engine, param(call, "name"), newName(call));
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
