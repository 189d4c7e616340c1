import { LighterError } from "../base/errors.ts";
import type { Nanoseconds } from "../base/clock.ts";
import { appendEvent } from "../state/events.ts";
import type { Tx } from "../state/state.ts";
import { Live } from "./live.ts";
import type { LogShipping } from "./log-shipping.ts";
import type { ContainersNeeds } from "./needs.ts";
import { findLinked } from "./link-rows.ts";
import { type ContainerRow, rowById } from "./rows.ts";

/** What every verb works with: the other parts, and what is held in memory of each container. */
export interface Context {
  readonly needs: ContainersNeeds;
  readonly live: Map<string, Live>;
  /** When execs ended, by id: their rows are kept for a while, for clients that ask for the exit code. */
  readonly finishedExecs: Map<string, Nanoseconds>;
  /** Starts a container again by its policy; the lock is held. Here, because what follows an exit is a part of what follows a start. */
  startAgain(row: ContainerRow, live: Live): Promise<void>;
  readonly health: HealthWatch;
  /** Set when the daemon ends: exits that are seen from now on are the next daemon's business. */
  closing: boolean;
  /** Sends logs away, for the drivers that do. */
  readonly shipping: LogShipping;
}

/** The watch over the health of containers; see `health.ts`. */
export interface HealthWatch {
  /** A container runs (it was started, thawed, or found again): its checks begin when its row says. Nothing happens for one without checks. */
  begin(id: string): void;
  /** It has ended, or was frozen: a check that is under way is killed and counts for nothing. */
  end(id: string): void;
  close(): void;
  /** How many there were, and how many of them failed. */
  readonly checks: { total: number; failed: number };
}

/** The container that a reference means. Throws `not-found`. */
export function find(context: Context, reference: string): ContainerRow {
  return findLinked(context.needs.state, reference);
}

/** The row of an id as it is now; throws `not-found` when it has gone meanwhile. */
export function current(context: Context, id: string): ContainerRow {
  const row = rowById(context.needs.state, id);
  if (row === undefined) throw new LighterError("not-found", `No such container: ${id}`);
  return row;
}

/** What is held in memory of a container. */
export function liveOf(context: Context, id: string): Live {
  let live = context.live.get(id);
  if (live === undefined) context.live.set(id, (live = new Live(id)));
  return live;
}

/** Runs a change of one container alone: nobody else changes it meanwhile. The row is read once the lock is held. */
export function change<T>(context: Context, reference: string, work: (row: ContainerRow, live: Live) => Promise<T>): Promise<T> {
  const { id } = find(context, reference);
  const live = liveOf(context, id);
  return live.lock.run(() => work(current(context, id), live));
}

/** Writes a container's event with the attributes that all of them carry: image, name and labels. */
export function tell(
  tx: Tx,
  row: Pick<ContainerRow, "id" | "name" | "desired">,
  action: string,
  attributes: Record<string, string> = {},
  time?: Nanoseconds,
): void {
  const { config } = row.desired;
  appendEvent(tx, {
    type: "container",
    action,
    actor: row.id,
    attributes: { ...config.Labels, image: config.Image ?? "", name: row.name, ...attributes },
    ...(time === undefined ? {} : { time }),
  });
}

/** Writes one event by itself. */
export function tellAlone(context: Context, row: ContainerRow, action: string, attributes: Record<string, string> = {}): void {
  context.needs.state.write((tx) => tell(tx, row, action, attributes), { durable: false });
}

/** Whether a container's process exists. */
export function isRunning(row: ContainerRow): boolean {
  return row.status === "running" || row.status === "paused";
}
