import { LighterError } from "../base/errors.ts";
import type { ContainerConfig, HealthConfig, HostConfig, PortBinding } from "../wire/engine-api.ts";
import { cleanPath, parseBind } from "./bind-spec.ts";
import type { ContainerEdit } from "./containers.ts";
import type { Desired } from "./desired.ts";
import { planMounts } from "./plan-mounts.ts";

/** Fields of the configuration that an edit may name as they are; all but the last two wait for the next start. */
export const WORDS = [
  "Hostname",
  "Domainname",
  "User",
  "WorkingDir",
  "Entrypoint",
  "Cmd",
  "StopSignal",
  "StopTimeout",
] as const satisfies (keyof ContainerConfig)[];
const ENDPOINT_MODES = ["host", "none"];

/** What a container's configuration becomes by an edit. Throws `invalid` for what cannot be, naming the container; nothing is changed in place. */
export function editedDesired(name: string, before: Desired, edit: ContainerEdit): Desired {
  const desired = structuredClone(before);
  const fail = (what: string, why: string): LighterError => new LighterError("invalid", `Cannot ${what} of container "${name}": ${why}`);
  const { config, hostConfig: host } = desired;
  if (edit.Env) config.Env = editedEnvironment(config.Env ?? [], edit.Env, fail);
  if (edit.Labels) config.Labels = editedLabels(config.Labels ?? {}, edit.Labels, fail);
  if (edit.Hostname === "") throw fail("change the host name", "the new one is empty");
  for (const key of WORDS) if (edit[key] !== undefined) Object.assign(config, { [key]: edit[key] });
  if (edit.Ports) editPorts(config, host, edit.Ports, fail);
  if (edit.PublishAllPorts !== undefined) host.PublishAllPorts = edit.PublishAllPorts;
  if (edit.Healthcheck) config.Healthcheck = editedHealth(config.Healthcheck, edit.Healthcheck, fail);
  if (edit.LogOptions) host.LogConfig = editedLogging(host.LogConfig, edit.LogOptions, fail);
  if (edit.Mounts) editMounts(desired, edit.Mounts, fail);
  return desired;
}

type Fail = (what: string, why: string) => LighterError;

function editedEnvironment(before: readonly string[], change: NonNullable<ContainerEdit["Env"]>, fail: Fail): string[] {
  const nameOf = (entry: string): string => entry.split("=", 1)[0] ?? "";
  let entries = [...before];
  for (const name of change.Remove ?? []) {
    if (!entries.some((entry) => nameOf(entry) === name)) throw fail(`remove environment variable "${name}"`, "it has none of that name");
    entries = entries.filter((entry) => nameOf(entry) !== name);
  }
  for (const entry of change.Set ?? []) {
    if (nameOf(entry) === "" || !entry.includes("="))
      throw fail(`set environment variable "${entry}"`, "the form is NAME=VALUE, and variables are removed by name");
    const at = entries.findIndex((one) => nameOf(one) === nameOf(entry));
    if (at < 0) entries.push(entry);
    else entries[at] = entry;
  }
  return entries;
}

function editedLabels(
  before: Readonly<Record<string, string>>,
  change: NonNullable<ContainerEdit["Labels"]>,
  fail: Fail,
): Record<string, string> {
  const labels = { ...before };
  for (const key of change.Remove ?? []) {
    if (!(key in labels)) throw fail(`remove label "${key}"`, "it has none of that name");
    delete labels[key];
  }
  for (const [key, value] of Object.entries(change.Set ?? {})) {
    if (key === "") throw fail("set a label", "its name is empty");
    labels[key] = value;
  }
  return labels;
}

function editedHealth(before: ContainerConfig["Healthcheck"], change: HealthConfig, fail: Fail): HealthConfig {
  if (change.Test?.[0] === "NONE") return { Test: ["NONE"] };
  const health: HealthConfig = { ...before };
  for (const [key, value] of Object.entries(change)) if (value !== undefined && value !== null) Object.assign(health, { [key]: value });
  if ((health.Test ?? []).length === 0 || health.Test?.[0] === "NONE")
    throw fail("change the health check", "it has none; name its command (--health-cmd)");
  return health;
}

function editedLogging(
  before: HostConfig["LogConfig"],
  change: NonNullable<ContainerEdit["LogOptions"]>,
  fail: Fail,
): NonNullable<HostConfig["LogConfig"]> {
  const options = { ...before?.Config };
  for (const name of change.Remove ?? []) {
    if (!(name in options)) throw fail(`remove log option "${name}"`, "it has none of that name");
    delete options[name];
  }
  if (before?.Type === "none") throw fail("change log options", "its log driver is none");
  return { ...before, Config: { ...options, ...change.Set } };
}

function editPorts(config: ContainerConfig, host: HostConfig, change: NonNullable<ContainerEdit["Ports"]>, fail: Fail): void {
  const mode = host.NetworkMode ?? "";
  if (ENDPOINT_MODES.includes(mode) || mode.startsWith("container:"))
    throw fail("change published ports", `with network mode "${mode}" it has no ports of its own`);
  const bindings = structuredClone(host.PortBindings ?? {});
  for (const spec of change.Remove ?? []) {
    const { key, fits } = removal(spec, fail);
    const kept = (bindings[key] ?? []).filter((binding) => !fits(binding));
    if (kept.length === (bindings[key] ?? []).length) throw fail(`remove published port "${spec}"`, "it is not published so");
    if (kept.length > 0) bindings[key] = kept;
    else delete bindings[key];
  }
  const exposed = { ...config.ExposedPorts };
  for (const [given, list] of Object.entries(change.Add ?? {})) {
    const key = given.includes("/") ? given.toLowerCase() : `${given}/tcp`;
    exposed[key] = {};
    const there = (bindings[key] ??= []);
    for (const binding of list ?? []) if (!there.some((one) => isSame(one, binding))) there.push(binding);
  }
  host.PortBindings = bindings;
  config.ExposedPorts = exposed;
}

function isSame(one: PortBinding, other: PortBinding): boolean {
  return (one.HostIp ?? "") === (other.HostIp ?? "") && (one.HostPort ?? "") === (other.HostPort ?? "");
}

/** `80`, `80/udp`, `8080:80`, `127.0.0.1:8080:80`: which bindings of which port. */
function removal(spec: string, fail: Fail): { key: string; fits: (binding: PortBinding) => boolean } {
  const match = /^(?:(?:\[?([0-9a-f:.]*)\]?:)?([\d-]*):)?(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(spec);
  if (!match) throw fail(`remove published port "${spec}"`, "the form is [[IP:]HOSTPORT:]PORT[/PROTOCOL]");
  const [, ip = "", hostPort = "", port = "", protocol = "tcp"] = match;
  return {
    key: `${port}/${protocol.toLowerCase()}`,
    fits: (binding) => (ip === "" || binding.HostIp === ip) && (hostPort === "" || binding.HostPort === hostPort),
  };
}

function editMounts(desired: Desired, change: NonNullable<ContainerEdit["Mounts"]>, fail: Fail): void {
  const { config, hostConfig: host } = desired;
  for (const given of change.Remove ?? []) removeMount(desired, cleanPath(given), fail);
  const binds = change.Binds ?? [];
  const mounts = change.Mounts ?? [];
  const added = planMounts(
    {},
    { Binds: binds, Mounts: mounts, ...(host.VolumeDriver ? { VolumeDriver: host.VolumeDriver } : {}) },
    () => [],
  );
  const taken = new Set([...desired.mounts.map(({ destination }) => destination), ...Object.keys(host.Tmpfs ?? {}).map(cleanPath)]);
  const double = added.find(({ destination }) => taken.has(destination));
  if (double !== undefined) throw new LighterError("invalid", `Duplicate mount point: ${double.destination}`);
  desired.mounts.push(...added);
  if (binds.length > 0) host.Binds = [...(host.Binds ?? []), ...binds];
  if (mounts.length > 0) host.Mounts = [...(host.Mounts ?? []), ...mounts];
  desired.config = config;
}

function removeMount(desired: Desired, place: string, fail: Fail): void {
  const { config, hostConfig: host } = desired;
  const kept = desired.mounts.filter(({ destination }) => destination !== place);
  const tmpfs = Object.keys(host.Tmpfs ?? {}).find((path) => cleanPath(path) === place);
  if (kept.length === desired.mounts.length && tmpfs === undefined) throw fail(`remove mount "${place}"`, "nothing is mounted there");
  desired.mounts = kept;
  if (tmpfs !== undefined) delete host.Tmpfs?.[tmpfs];
  if (host.Binds) host.Binds = host.Binds.filter((spec) => destinationOf(spec) !== place);
  if (host.Mounts) host.Mounts = host.Mounts.filter(({ Target = "" }) => cleanPath(Target) !== place);
  for (const path of Object.keys(config.Volumes ?? {})) if (cleanPath(path) === place) delete config.Volumes?.[path];
}

function destinationOf(spec: string): string {
  return spec.includes(":") ? parseBind(spec).destination : cleanPath(spec);
}
