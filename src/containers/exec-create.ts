import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import type { ExecCreateBody } from "./containers.ts";
import { type Context, find, tell } from "./context.ts";
import { deleteExec, insertExec } from "./exec-rows.ts";
import type { ContainerRow } from "./rows.ts";
import { refuseNul } from "./strings.ts";

/** Nanoseconds for which the row of an exec that has ended is kept. */
const KEEP = 300_000_000_000n;

/** Stores an exec to be started later; returns its id. */
export function createExec(context: Context, reference: string, body: ExecCreateBody): string {
  const row = find(context, reference);
  requireActive(row, reference);
  refuseNul(body);
  context.needs.runtime.warm();
  const command = body.Cmd ?? [];
  if (command.length === 0) throw new LighterError("invalid", "No exec command specified");
  for (const entry of body.Env ?? []) {
    if (entry === "" || entry.startsWith("=")) throw new LighterError("invalid", `invalid environment variable: ${entry}`);
  }
  const id = newId();
  context.needs.state.write(
    (tx) => {
      for (const old of forgotten(context)) deleteExec(tx, old);
      insertExec(tx, { id, container: row.id, created: now(), body });
      tell(tx, row, `exec_create: ${commandText(command)}`, { execID: id });
    },
    { durable: false },
  );
  return id;
}

/** A command as Docker's events have it: a blank follows the program, even where no argument does. */
export function commandText([program = "", ...args]: readonly string[]): string {
  return `${program} ${args.join(" ")}`;
}

/** Throws Docker's `conflict` unless execs can run in a container now. */
export function requireActive(row: ContainerRow, reference = row.id): void {
  if (row.status === "paused") throw new LighterError("conflict", `Container ${reference} is paused, unpause the container before exec`);
  if (row.status === "restarting")
    throw new LighterError("conflict", `Container ${row.id} is restarting, wait until the container is running`);
  if (row.status !== "running") throw new LighterError("conflict", `container ${row.id} is not running`);
}

/** Execs that ended long ago: taken out of the list. */
function forgotten(context: Context): string[] {
  const limit = now() - KEEP;
  const old = [...context.finishedExecs].filter(([, time]) => time < limit).map(([id]) => id);
  for (const id of old) context.finishedExecs.delete(id);
  return old;
}
