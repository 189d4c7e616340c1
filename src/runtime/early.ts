import { existsSync } from "node:fs";
import type { Overlay } from "../linux/spawn-protocol.ts";
import { makePlaces, placeOf } from "./bundle.ts";
import { Cgroup } from "./cgroup.ts";
import { beginConmon, type ConmonOptions, dropConmon, isAsked, type WaitingConmon } from "./conmon.ts";
import { type Context, mountPoint, stateRoot } from "./context.ts";
import { removeAll } from "./remove.ts";
import type { MonitorSpec } from "./runtime.ts";

/** A monitor that waits for its container's specification. */
export interface EarlyMonitor {
  waiting: WaitingConmon;
  /** The root that is mounted for it. */
  overlay: Overlay | undefined;
  /** Ends it and takes away what was made for it. */
  drop(): Promise<void>;
}

/** How the monitor of a container is started. */
export function monitorOptions(context: Context, spec: MonitorSpec): ConmonOptions {
  const { id, runtime, directory, terminal, stdin, logFile, rootfs } = spec;
  return { id, runtime, directory, terminal, stdin, logFile, overlay: { target: mountPoint(context, id), ...rootfs } };
}

/** Everything that a container has on the exec root. */
export function treesOf(context: Context, { id, runtime, directory }: MonitorSpec): string[] {
  return [`${stateRoot(context, runtime)}/${id}`, directory, mountPoint(context, id)];
}

/** See `Runtime.begin`. */
export function beginMonitor(context: Context, spec: MonitorSpec): () => Promise<void> {
  const { id } = spec;
  const trees = treesOf(context, spec);
  // What an earlier run left is for `create` to take away.
  if (context.tasks.has(id) || context.early.has(id) || trees.some(existsSync)) return () => Promise.resolve();
  context.warmCgroups.hint();
  makePlaces(context, spec);
  const options = monitorOptions(context, spec);
  const waiting = beginConmon(context, options);
  const drop = async (): Promise<void> => {
    if (context.early.get(id)?.waiting !== waiting) return;
    context.early.delete(id);
    await dropConmon(waiting);
    await removeAll(context, new Cgroup(context.host, placeOf(context, id, undefined).cgroup), trees);
  };
  context.early.set(id, { waiting, overlay: options.overlay, drop });
  return drop;
}

/** Sees to it that the monitor that waits for a container, if any, is the one that is wanted. */
export async function checkEarly(context: Context, options: ConmonOptions): Promise<void> {
  const early = context.early.get(options.id);
  if (early === undefined || (isAsked(context, early.waiting, options) && Bun.deepEquals(early.overlay, options.overlay))) return;
  await early.drop();
}

/** The monitor that waits for a container: the caller's from now on. */
export function takeEarly(context: Context, id: string): WaitingConmon | undefined {
  const early = context.early.get(id);
  context.early.delete(id);
  return early?.waiting;
}
