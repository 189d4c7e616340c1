import { isDeepStrictEqual } from "node:util";
import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { Resources } from "../oci/spec.ts";
import type { Task } from "../runtime/runtime.ts";
import type { Tx } from "../state/state.ts";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import { EGRESS_LABEL } from "../wire/labels.ts";
import type { ContainerEdit, UpdateBody } from "./containers.ts";
import { change, type Context, isRunning, tell } from "./context.ts";
import type { Desired, PlannedMount } from "./desired.ts";
import { editedDesired, WORDS } from "./edit.ts";
import { type EditEffect, forgetEdit, recordEdit, settlePending, undoEdit } from "./edit-effects.ts";
import { changeMounts, type MountOutcome, mountsBetween } from "./live-mounts.ts";
import { probeOf } from "./health-probe.ts";
import { healthStarts } from "./health-rows.ts";
import { networkRequest } from "./network-request.ts";
import { validateRestartPolicy } from "./restart-policy.ts";
import { type ContainerRow, setDesired } from "./rows.ts";
import { pendingChanges, putRunningConfig, type RunningConfig, runningConfig } from "./running-config.ts";
import { refuseNul } from "./strings.ts";
import { changeLimits, limitsBetween } from "./update-limits.ts";
import { thisMachine } from "./validate-resources.ts";
import { validateConfig } from "./validate.ts";
import { tellVolumes } from "./volume-events.ts";
import { keepVolumes } from "./volume-references.ts";

/** Fields of the configuration that an edit changes and that a process has from its start; stop signal and timeout are read when it is stopped. */
const FROM_START = ["Env", ...WORDS.filter((key) => key !== "StopSignal" && key !== "StopTimeout")] as const;

/** What was done: warnings, and what waits for the next start. */
export interface Updated {
  warnings: string[];
  pending: string[];
}

/** See `Containers.update`. */
export async function updateContainer(context: Context, reference: string, body: UpdateBody): Promise<Updated> {
  refuseNul(body);
  if (body.RestartPolicy?.Name) validateRestartPolicy(body.RestartPolicy, false);
  return change(context, reference, async (row, live) => {
    try {
      const plan = planUpdate(context, row, body);
      return await (isRunning(row) && live.task !== undefined ? updateRunning(context, plan, live.task) : updateStored(context, plan));
    } catch (error) {
      if (kindOf(error) !== "conflict" && kindOf(error) !== "runtime") throw error;
      throw new LighterError(kindOf(error), `Cannot update container ${row.id}: ${messageOf(error)}`, { cause: error });
    }
  });
}

/** An update that was checked: nothing of it is done yet. */
interface Plan {
  row: ContainerRow;
  desired: Desired;
  /** The limits that change, as they will be. */
  fields: Partial<HostConfig>;
  aliases: NonNullable<ContainerEdit["Aliases"]>;
  ports: boolean;
  /** Whether it may reach something else. */
  egress: boolean;
  /** Whether the health check is another one. */
  health: boolean;
  warnings: string[];
}

function planUpdate(context: Context, row: ContainerRow, body: UpdateBody): Plan {
  const { Lighter: edit = {}, RestartPolicy: policy, ...limits } = body;
  if (row.status === "removing" || row.status === "dead")
    throw new LighterError("conflict", 'container is marked for removal and cannot be "update"');
  const { fields, warnings } = changeLimits(row.desired.hostConfig, limits, thisMachine(context.needs.runtime.cgroup));
  const desired = editedDesired(row.name, row.desired, edit);
  Object.assign(desired.hostConfig, fields);
  if (policy?.Name) {
    if (row.autoRemove && policy.Name !== "no")
      throw new LighterError("conflict", "Restart policy cannot be updated because AutoRemove is enabled for the container");
    desired.hostConfig.RestartPolicy = { Name: policy.Name, MaximumRetryCount: policy.MaximumRetryCount ?? 0 };
  }
  if (Object.keys(edit).length > 0) {
    // The host name of one that shares another's network or the machine's names was filled in by us.
    validateConfig({ ...desired.config, Hostname: edit.Hostname ?? "" }, desired.hostConfig);
    if (changesPorts(edit) || egressOf(desired) !== egressOf(row.desired))
      context.needs.networks.check(networkRequest({ ...row, desired }));
  }
  return {
    row,
    desired,
    fields,
    aliases: edit.Aliases ?? {},
    ports: changesPorts(edit),
    egress: egressOf(desired) !== egressOf(row.desired),
    health: !isDeepStrictEqual(probeOf(row.desired.config), probeOf(desired.config)),
    warnings,
  };
}

function egressOf({ config }: Desired): string | undefined {
  return config.Labels?.[EGRESS_LABEL];
}

function changesPorts({ Ports, PublishAllPorts }: ContainerEdit): boolean {
  return Ports !== undefined || PublishAllPorts !== undefined;
}

/** A container without a process: one transaction. */
function updateStored(context: Context, plan: Plan): Updated {
  context.needs.state.write(
    (tx) => {
      settlePending(context, tx, plan.row);
      if (plan.desired.mounts.length + plan.row.desired.mounts.length > 0) keepVolumes(context, tx, plan.row.id, plan.desired.mounts);
      record(context, tx, plan);
    },
    { durable: !plan.row.autoRemove },
  );
  return { warnings: plan.warnings, pending: [] };
}

/**
 * A running one: what will be done to the kernel is named in a row, done, and becomes true in one transaction with the event. A failure, and the next
 * daemon after a crash, takes it back. Host ports are opened after that transaction: the table is written from the rows at each start.
 */
async function updateRunning(context: Context, plan: Plan, task: Task): Promise<Updated> {
  const { state, runtime } = context.needs;
  const { row, desired, fields } = plan;
  const known = runningConfig(state, row.id);
  const has = known?.mounts ?? row.desired.mounts;
  const effect: EditEffect = { v: 1, fields, ...mountsBetween(has, desired.mounts) };
  const limits = liveLimits(plan, runtime.cgroup.version);
  const touches = effect.added.length + effect.removed.length + Object.keys(fields).length > 0;
  if (touches)
    state.write(
      (tx) => {
        effect.made = keepVolumes(context, tx, row.id, [...desired.mounts, ...has]);
        recordEdit(tx, row.id, effect);
      },
      { durable: false },
    );
  let open: (() => Promise<void>) | undefined;
  let limit: (() => Promise<void>) | undefined;
  let outcome: MountOutcome;
  let running: RunningConfig;
  try {
    outcome = await changeMounts(context, row, task, has, effect);
    if (limits !== undefined) await task.update(limits);
    ({ open, limit, running } = state.write((tx) => recordRunning(context, tx, plan, { known, has, mounts: outcome.mounts }), {
      durable: !row.autoRemove,
    }));
  } catch (error) {
    if (touches) await undoEdit(context, row, task, effect);
    throw error;
  }
  try {
    await limit?.();
  } finally {
    await open?.();
  }
  if (plan.health && row.status === "running") {
    context.health.end(row.id);
    context.health.begin(row.id);
  }
  return { warnings: [...plan.warnings, ...outcome.warnings], pending: pendingChanges(running, desired) };
}

/** What the cgroup is told; undefined for nothing. */
function liveLimits({ row, desired, fields }: Plan, cgroupVersion: 1 | 2): Resources | undefined {
  const keys = Object.keys(fields) as (keyof HostConfig)[];
  if (keys.length === 0) return undefined;
  if ((fields.MemorySwap ?? 0) > 0 && !desired.hostConfig.Memory)
    throw new LighterError("conflict", "You should always set the Memory limit when using Memoryswap limit, see usage");
  return limitsBetween(row.desired.hostConfig, desired.hostConfig, keys, cgroupVersion);
}

function recordRunning(
  context: Context,
  tx: Tx,
  plan: Plan,
  process: { known: RunningConfig | undefined; has: readonly PlannedMount[]; mounts: PlannedMount[] },
): { open: (() => Promise<void>) | undefined; limit: (() => Promise<void>) | undefined; running: RunningConfig } {
  const { row, desired } = plan;
  const limit = plan.egress ? context.needs.networks.limitWays(tx, networkRequest({ ...row, desired })) : undefined;
  const open = plan.ports ? context.needs.networks.republish(tx, networkRequest({ ...row, desired })) : undefined;
  const running = differences(row.desired, process.known, process.mounts, plan.ports && open === undefined);
  if (open !== undefined) {
    delete running.hostConfig.PortBindings;
    delete running.hostConfig.PublishAllPorts;
  }
  if (plan.health) healthStarts(tx, { ...row, desired });
  if (process.mounts.length + desired.mounts.length > 0) keepVolumes(context, tx, row.id, [...process.mounts, ...desired.mounts]);
  tellChanged(tx, row, process.has, process.mounts);
  record(context, tx, plan);
  putRunningConfig(tx, row.id, running, desired);
  forgetEdit(tx, row.id);
  return { open, limit, running };
}

/** What the process has: what it was known to have already, else what the row said until now. */
function differences(before: Desired, known: RunningConfig | undefined, mounts: PlannedMount[], portsWait: boolean): RunningConfig {
  const config: Partial<ContainerConfig> = {};
  for (const key of FROM_START) Object.assign(config, { [key]: before.config[key] ?? null });
  const hostConfig: Partial<HostConfig> = {};
  Object.assign(hostConfig, { Tmpfs: before.hostConfig.Tmpfs ?? null });
  Object.assign(hostConfig, { LogConfig: before.hostConfig.LogConfig ?? null });
  if (portsWait) {
    hostConfig.PortBindings = before.hostConfig.PortBindings ?? {};
    hostConfig.PublishAllPorts = before.hostConfig.PublishAllPorts ?? false;
  }
  return { v: 1, config: { ...config, ...known?.config }, hostConfig: { ...hostConfig, ...known?.hostConfig }, mounts };
}

function tellChanged(tx: Tx, row: ContainerRow, before: readonly PlannedMount[], now: readonly PlannedMount[]): void {
  const { added, removed } = mountsBetween(before, now);
  tellVolumes(tx, { ...row, desired: { ...row.desired, mounts: removed } }, "unmount");
  tellVolumes(tx, { ...row, desired: { ...row.desired, mounts: added } }, "mount");
}

/** The row as it is asked for now, names on networks, and the event. */
function record(context: Context, tx: Tx, { row, desired, aliases }: Plan): void {
  for (const [reference, change] of Object.entries(aliases)) {
    const lists = { add: change.Add ?? [], remove: change.Remove ?? [] };
    const changed = context.needs.networks.changeAliases(tx, networkRequest({ ...row, desired }), reference, lists);
    if (!changed.kept) keepAliases(desired, changed);
  }
  setDesired(tx, row.id, desired);
  tell(tx, { ...row, desired }, "update");
}

function keepAliases(desired: Desired, { network, id, aliases }: { network: string; id: string; aliases: string[] }): void {
  const key = Object.keys(desired.endpoints).find((name) => name === network || id.startsWith(name)) ?? network;
  desired.endpoints[key] = { ...desired.endpoints[key], Aliases: aliases };
}
