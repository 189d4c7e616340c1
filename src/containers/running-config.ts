import { isDeepStrictEqual } from "node:util";
import type { Reader, Tx } from "../state/state.ts";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import type { Desired, PlannedMount } from "./desired.ts";

/**
 * What the running process still has where its container was edited since it was started: what was asked for stands in the container's own row,
 * and is in force from the next start on.
 */
export interface RunningConfig {
  v: 1;
  config: Partial<ContainerConfig>;
  hostConfig: Partial<HostConfig>;
  /** All mounts of the process, once one of them differs. */
  mounts?: PlannedMount[];
}

/** What is known of a running container's differences; undefined for none. */
export function runningConfig(reader: Reader, id: string): RunningConfig | undefined {
  const raw = reader.get<{ config_json: string }>("SELECT config_json FROM running_configs WHERE container = ?", id);
  return raw && (JSON.parse(raw.config_json) as RunningConfig);
}

/** Keeps what the process has; an edit that is taken back leaves no difference. */
export function putRunningConfig(tx: Tx, id: string, running: RunningConfig, desired: Desired): void {
  if (pendingChanges(running, desired).length === 0) return clearRunningConfig(tx, id);
  tx.run("INSERT OR REPLACE INTO running_configs (container, config_json) VALUES (?, ?)", id, JSON.stringify(running));
}

/** The process ends or begins: there is no difference any more. */
export function clearRunningConfig(tx: Tx, id: string): void {
  tx.run("DELETE FROM running_configs WHERE container = ?", id);
}

/** What waits for the next start: `Config.Env`, `HostConfig.PortBindings`, `Mounts./data`. */
export function pendingChanges(running: RunningConfig, desired: Desired): string[] {
  const mounts = running.mounts ?? desired.mounts;
  const places = new Set([...mounts, ...desired.mounts].map(({ destination }) => destination));
  const at = (list: readonly PlannedMount[], place: string): PlannedMount | undefined =>
    list.find(({ destination }) => destination === place);
  return [
    ...differing(running.config, desired.config).map((key) => `Config.${key}`),
    ...differing(running.hostConfig, desired.hostConfig).map((key) => `HostConfig.${key}`),
    ...[...places].filter((place) => !isDeepStrictEqual(at(mounts, place), at(desired.mounts, place))).map((place) => `Mounts.${place}`),
  ];
}

function differing<T extends object>(was: Partial<T>, is: T): string[] {
  return Object.keys(was).filter((key) => !isDeepStrictEqual(was[key as keyof T] ?? null, is[key as keyof T] ?? null));
}
