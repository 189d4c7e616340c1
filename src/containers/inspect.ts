import { toRfc3339Nano } from "../base/clock.ts";
import type { ContainerInspectResponse, ContainerState } from "../wire/engine-api.ts";
import { profileOf } from "./apparmor.ts";
import { type Context, find, isRunning } from "./context.ts";
import { commandOf } from "./desired.ts";
import { openExecIds } from "./exec-rows.ts";
import type { HealthState } from "./health-result.ts";
import { healthChecks } from "./health-rows.ts";
import { shownLinks } from "./links.ts";
import { mountPoints } from "./mount-points.ts";
import { networkRequest } from "./network-request.ts";
import { pathsOf } from "./paths.ts";
import type { ContainerRow } from "./rows.ts";
import { pendingChanges, runningConfig } from "./running-config.ts";
import { sizesOf } from "./size.ts";
import { apiStatus } from "./status-text.ts";

/** See `Containers.inspect`: the shape of the newest API; older ones are the door's matter. */
export async function inspectContainer(
  context: Context,
  reference: string,
  options: { size?: boolean } = {},
): Promise<ContainerInspectResponse> {
  const row = find(context, reference);
  const driver = context.needs.options.copies === true ? "native" : "overlayfs";
  const { images, networks, state } = context.needs;
  const { config, hostConfig, os } = row.desired;
  const paths = pathsOf(context.needs.options, row.id);
  const settings = networks.settings(state, row.id, networkRequest(row));
  const descriptor = images.descriptor(row.manifest);
  const [path = "", ...args] = commandOf(config);
  const running = isRunning(row) ? runningConfig(state, row.id) : undefined;
  const execs = openExecIds(state, row.id);
  const answer: ContainerInspectResponse = {
    Id: row.id,
    Created: toRfc3339Nano(row.created),
    Path: path,
    Args: args,
    State: stateOf(context, row),
    Image: row.image,
    ResolvConfPath: paths.resolvConf,
    HostnamePath: paths.hostname,
    HostsPath: paths.hosts,
    LogPath: hostConfig.LogConfig?.Type === "none" ? "" : paths.log,
    Name: `/${row.name}`,
    RestartCount: row.restartCount,
    Driver: driver,
    Platform: os,
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: profileOf(hostConfig, context.needs.options.defaults) ?? "",
    ExecIDs: execs.length === 0 ? null : execs,
    HostConfig: hostConfig.Links?.length ? ({ ...hostConfig, Links: shownLinks(state, row) } as typeof hostConfig) : hostConfig,
    Storage: { RootFS: { Snapshot: { Name: driver } } },
    Mounts: mountPoints(context, row),
    Config: config,
    NetworkSettings: {
      SandboxID: settings.sandboxId,
      SandboxKey: settings.sandboxKey,
      Ports: settings.ports,
      Networks: settings.networks,
    },
  };
  // Ours: clients of Docker leave aside what they do not know.
  if (running !== undefined) Object.assign(answer, { PendingChanges: pendingChanges(running, row.desired) });
  if (descriptor !== undefined)
    answer.ImageManifestDescriptor = descriptor as NonNullable<ContainerInspectResponse["ImageManifestDescriptor"]>;
  return options.size ? { ...answer, ...(await sizesOf(context, row)) } : answer;
}

function healthOf(
  context: Context,
  id: string,
  { Status, FailingStreak }: HealthState,
): NonNullable<NonNullable<ContainerState>["Health"]> {
  return { Status, FailingStreak, Log: healthChecks(context.needs.state, id)?.log ?? [] };
}

function stateOf(context: Context, row: ContainerRow): ContainerState {
  const status = apiStatus(row);
  const health = row.health as HealthState | undefined;
  return {
    Status: status,
    Running: status === "running" || status === "paused" || status === "restarting",
    Paused: status === "paused",
    Restarting: status === "restarting",
    OOMKilled: row.oomKilled,
    Dead: status === "dead",
    Pid: row.task?.init.pid ?? 0,
    ExitCode: row.exitCode,
    Error: row.error,
    StartedAt: toRfc3339Nano(row.started),
    FinishedAt: toRfc3339Nano(row.finished),
    ...(health === undefined ? {} : { Health: healthOf(context, row.id, health) }),
  };
}
