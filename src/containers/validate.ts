import { LighterError } from "../base/errors.ts";
import { validateLogging } from "./log-options.ts";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import { validateHealthAction } from "./health-label.ts";
import { validateRestartPolicy } from "./restart-policy.ts";
import { parseSecurityOptions } from "./security-opt.ts";
import { signalNumber } from "../base/signals.ts";
import { rlimitName } from "./ulimits.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Checks a container's name with Docker's text; returns it without a leading slash. */
export function validateName(name: string): string {
  const bare = name.startsWith("/") ? name.slice(1) : name;
  if (!NAME.test(bare)) throw new LighterError("invalid", `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  return bare;
}

/** Checks what can be checked of a merged configuration without the machine; throws `invalid` with Docker's texts. */
export function validateConfig(config: ContainerConfig, host: HostConfig): void {
  if ((config.Entrypoint ?? []).length === 0 && (config.Cmd ?? []).length === 0) throw invalid("no command specified");
  if (config.WorkingDir && !config.WorkingDir.startsWith("/"))
    throw invalid(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  for (const entry of config.Env ?? []) {
    if (entry === "" || entry.startsWith("=")) throw invalid(`invalid environment variable: ${entry}`);
    if (entry.includes("\0")) throw invalid(`invalid environment variable: ${entry.replaceAll("\0", "\\0")}`);
  }
  if (config.StopSignal) signalNumber(config.StopSignal);
  if ((config.Hostname ?? "").length > 63) throw invalid(`invalid hostname: ${config.Hostname}: longer than 63 characters`);
  for (const port of Object.keys(config.ExposedPorts ?? {})) checkPort(port);
  checkHealth(config);
  validateHealthAction(config.Labels);
  checkModes(config, host);
  checkNetwork(config, host);
  validateRestartPolicy(host.RestartPolicy ?? {}, host.AutoRemove ?? false);
  parseSecurityOptions(host.SecurityOpt ?? [], host.Privileged ?? false);
  validateLogging(host.LogConfig);
  for (const ulimit of host.Ulimits ?? []) {
    rlimitName(ulimit.Name ?? "");
    const { Soft = 0, Hard = 0 } = ulimit;
    if (Hard !== -1 && (Soft > Hard || Soft === -1))
      throw invalid(`ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`);
  }
  for (const extra of host.ExtraHosts ?? []) {
    if (!/^[^:=]+[:=].+$/.test(extra)) throw invalid(`bad format for add-host: "${extra}"`);
  }
  if (host.Isolation && host.Isolation !== "default")
    throw invalid(`invalid isolation: "${host.Isolation}" - linux only supports 'default'`);
  for (const [name] of Object.entries(host.Sysctls ?? {})) {
    if (name.startsWith("net.") && host.NetworkMode === "host") throw invalid(`sysctl '${name}' is not allowed in host network mode`);
  }
}

function checkPort(spec: string): void {
  if (!/^\d{1,5}(?:-\d{1,5})?(?:\/(?:tcp|udp|sctp))?$/i.test(spec)) throw invalid(`invalid port specification: "${spec}"`);
}

function checkHealth(config: ContainerConfig): void {
  const health = config.Healthcheck;
  if (!health) return;
  for (const field of ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const) {
    const value = health[field] ?? 0;
    if (value !== 0 && value < 1_000_000) throw invalid(`${field} in Healthcheck cannot be less than 1ms`);
  }
  if ((health.Retries ?? 0) < 0) throw invalid("Retries in Healthcheck cannot be negative");
}

function checkModes(config: ContainerConfig, host: HostConfig): void {
  const check = (name: string, value: string | undefined, plain: string[], joins = false): void => {
    if (!value || plain.includes(value)) return;
    if (joins && (value === "container" || value === "container:")) throw invalid("invalid container format container:<name|id>");
    if (!joins || !value.startsWith("container:")) throw invalid(`invalid ${name} mode: ${value}`);
  };
  check("PID", host.PidMode, ["host"], true);
  check("IPC", host.IpcMode, ["none", "private", "shareable", "host"], true);
  check("UTS", host.UTSMode, ["host"]);
  check("user namespace", host.UsernsMode, ["host"]);
  check("cgroup namespace", host.CgroupnsMode, ["private", "host"]);
  if (host.UTSMode === "host" && config.Hostname) throw invalid("conflicting options: hostname and the UTS mode");
}

function checkNetwork(config: ContainerConfig, host: HostConfig): void {
  const mode = host.NetworkMode ?? "";
  if (mode === "host" && (host.Links ?? []).length > 0)
    throw invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
  if (mode !== "container" && !mode.startsWith("container:")) return;
  if (mode === "container" || mode === "container:") throw invalid("invalid container format container:<name|id>");
  const conflicts: [unknown, string][] = [
    [config.Hostname, "conflicting options: hostname and the network mode"],
    [host.Links?.length, "conflicting options: container type network can't be used with links. This would result in undefined behavior"],
    [host.Dns?.length, "conflicting options: dns and the network mode"],
    [host.ExtraHosts?.length, "conflicting options: custom host-to-IP mapping and the network mode"],
    [
      Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts,
      "conflicting options: port publishing and the container type network mode",
    ],
  ];
  for (const [given, text] of conflicts) if (given) throw invalid(text);
}

function invalid(text: string): LighterError {
  return new LighterError("invalid", text);
}
