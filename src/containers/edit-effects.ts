import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Task } from "../runtime/runtime.ts";
import { isAlive } from "../linux/process.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { type Context, isRunning } from "./context.ts";
import { changeMounts, type MountChange } from "./live-mounts.ts";
import type { PlannedMount } from "./desired.ts";
import { type ContainerRow, rowById } from "./rows.ts";
import { clearRunningConfig, runningConfig } from "./running-config.ts";
import { limitsBetween } from "./update-limits.ts";
import { keepVolumes } from "./volume-references.ts";

const log = logOf("containers");
const KIND = "container-edit";

/** What an update is about to do to a running container: named before it is done, forgotten in the transaction that makes it so. */
export interface EditEffect extends MountChange {
  v: 1;
  /** The limits that change, as they will be. */
  fields: Partial<HostConfig>;
  /** Volumes that did not exist before. */
  made?: string[];
}

/** Names an update that begins. */
export function recordEdit(tx: Tx, id: string, effect: EditEffect): void {
  tx.run("INSERT OR REPLACE INTO effects (kind, key, owner, data_json) VALUES (?, ?, ?, ?)", KIND, id, id, JSON.stringify(effect));
}

/** Notes that an update is done or undone. */
export function forgetEdit(tx: Tx, id: string): void {
  tx.run("DELETE FROM effects WHERE kind = ? AND key = ?", KIND, id);
}

/** Undoes the updates that an earlier daemon did not finish: nobody was told that they were done. */
export async function undoEdits(context: Context): Promise<void> {
  for (const { key, data_json: text } of leftEdits(context.needs.state)) {
    const row = rowById(context.needs.state, key);
    const task = context.live.get(key)?.task;
    if (row !== undefined && isRunning(row) && task !== undefined && isAlive(task.record.init))
      await undoEdit(context, row, task, JSON.parse(text) as EditEffect);
    else await forgetEffect(context, key, row?.desired.mounts, JSON.parse(text) as EditEffect);
  }
}

function leftEdits(reader: Reader): { key: string; data_json: string }[] {
  return reader.all<{ key: string; data_json: string }>("SELECT key, data_json FROM effects WHERE kind = ?", KIND);
}

/** Brings a running container back to what its row says; what cannot be undone is logged, and gone with the process. */
export async function undoEdit(context: Context, row: ContainerRow, task: Task, effect: EditEffect): Promise<void> {
  const { fields, added, removed } = effect;
  const { cgroup } = context.needs.runtime;
  const { hostConfig: host } = row.desired;
  const keys = Object.keys(fields) as (keyof HostConfig)[];
  const has = runningConfig(context.needs.state, row.id)?.mounts ?? row.desired.mounts;
  try {
    await changeMounts(context, row, task, added, { added: removed, removed: added });
    if (keys.length > 0) await task.update(limitsBetween({ ...host, ...fields }, host, keys, cgroup.version));
  } catch (error) {
    log.warn("cannot undo all of an update of {id}: {error}", { id: row.id, error: messageOf(error) });
  }
  await forgetEffect(context, row.id, has, effect);
}

/** The rows of an update that is undone: the volumes that are mounted, and none that it made. */
async function forgetEffect(
  context: Context,
  id: string,
  mounts: readonly PlannedMount[] | undefined,
  { made = [] }: EditEffect,
): Promise<void> {
  context.needs.state.write(
    (tx) => {
      if (mounts !== undefined) keepVolumes(context, tx, id, mounts);
      forgetEdit(tx, id);
    },
    { durable: false },
  );
  for (const name of made) {
    await context.needs.volumes
      .remove(name, { force: true })
      .catch((error: unknown) => log.debug("volume {name} stays: {error}", { name, error: messageOf(error) }));
  }
}

/** A start brings into force what waited for it. */
export function settlePending(context: Context, tx: Tx, row: ContainerRow): void {
  if (runningConfig(tx, row.id) === undefined) return;
  clearRunningConfig(tx, row.id);
  keepVolumes(context, tx, row.id, row.desired.mounts);
}
