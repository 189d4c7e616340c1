import { LighterError } from "../base/errors.ts";
import { parseExactly } from "../base/exact-json.ts";
import type { CreateBody } from "../client/containers.ts";
import type { ContainerConfig, EndpointSettings, HealthConfig, HostConfig, RestartPolicy } from "../wire/engine-api.ts";
import { HEALTH_ACTION_LABEL, HEALTH_ACTIONS } from "../wire/labels.ts";
import { CONTAINER_FLAGS } from "./container-flags.ts";
import { isCdiName, parseDevice } from "./device-flags.ts";
import { egressLabel } from "./egress-flags.ts";
import { readKeyValueFile } from "./env-file.ts";
import { keyValue, type Values } from "./flags.ts";
import { attachmentTo, endpointOf, hasEndpoint, isUserDefined, type NetworkAttachment } from "./network-flag.ts";
import { node } from "./node.ts";
import { parsePorts } from "./ports.ts";

/** The values of the flags that `run` and `create` share. */
export type ContainerValues = Values<typeof CONTAINER_FLAGS>;

export interface BodyContext {
  given: (name: string) => boolean;
  env: NodeJS.ProcessEnv;
  /** Proxy variables that docker's configuration wants in every container. */
  proxies?: Record<string, string>;
}

/** Leaves out what is the zero value in Go: the daemon reads absence the same way. */
function compact<T extends object>(values: { [K in keyof T]?: T[K] | undefined }): T {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined || value === null || value === "" || value === 0 || value === false) continue;
    if (typeof value === "object" && Object.keys(value).length === 0) continue;
    kept[key] = value;
  }
  return kept as T;
}

/**
 * The body of a create request that a command line asks for.
 * Throws `invalid` with docker's texts.
 */
export function createBody(flags: ContainerValues, image: string, words: readonly string[], context: BodyContext): CreateBody {
  checkModes(flags);
  const ports = parsePorts(flags.publish, flags.expose);
  const [anonymous, binds] = splitVolumes(flags.volume);
  const networks = networkAttachments(flags);
  const attach = attached(flags);
  const config = compact<ContainerConfig>({
    Hostname: flags.hostname,
    Domainname: flags.domainname,
    User: flags.user,
    ...attach,
    Tty: flags.tty,
    OpenStdin: flags.interactive,
    StdinOnce: flags.interactive && attach.AttachStdin,
    ExposedPorts: ports.exposed,
    Env: environment(flags, context),
    Cmd: [...words],
    Image: image,
    Volumes: anonymous,
    WorkingDir: flags.workdir,
    Labels: labels(flags),
    StopSignal: flags["stop-signal"],
    Healthcheck: healthOf(flags, context.given),
  });
  // An empty entrypoint that was asked for resets the image's, a stop time of 0 is one.
  if (context.given("entrypoint")) config.Entrypoint = [flags.entrypoint];
  if (context.given("stop-timeout")) config.StopTimeout = flags["stop-timeout"];
  const host = hostConfig(flags, context, binds, networks[0]);
  if (Object.keys(ports.bindings).length > 0) host.PortBindings = ports.bindings;
  const EndpointsConfig: Record<string, EndpointSettings> = {};
  for (const network of networks) if (hasEndpoint(network.name)) EndpointsConfig[network.name] = endpointOf(network);
  return { ...config, HostConfig: host, NetworkingConfig: { EndpointsConfig } };
}

function attached(flags: ContainerValues): { AttachStdin: boolean; AttachStdout: boolean; AttachStderr: boolean } {
  const streams = flags.attach;
  if (streams.length === 0) return { AttachStdin: flags.interactive, AttachStdout: true, AttachStderr: true };
  return { AttachStdin: streams.includes("stdin"), AttachStdout: streams.includes("stdout"), AttachStderr: streams.includes("stderr") };
}

function hostConfig(flags: ContainerValues, context: BodyContext, binds: string[], network: NetworkAttachment | undefined): HostConfig {
  const security = securityOptions(flags["security-opt"]);
  const cdi = flags.device.filter(isCdiName);
  const host = compact<HostConfig>({
    Binds: binds,
    LogConfig: logConfig(flags),
    NetworkMode: network?.name ?? "default",
    RestartPolicy: restartPolicy(flags.restart),
    AutoRemove: flags.rm,
    VolumeDriver: flags["volume-driver"],
    VolumesFrom: flags["volumes-from"],
    CapAdd: capabilities(flags["cap-add"]),
    CapDrop: capabilities(flags["cap-drop"]),
    CgroupnsMode: flags.cgroupns as HostConfig["CgroupnsMode"],
    Dns: flags.dns,
    DnsOptions: flags["dns-option"],
    DnsSearch: flags["dns-search"],
    ExtraHosts: flags["add-host"],
    GroupAdd: flags["group-add"],
    IpcMode: flags.ipc,
    Links: flags.link,
    OomScoreAdj: flags["oom-score-adj"],
    PidMode: flags.pid,
    Privileged: flags.privileged,
    PublishAllPorts: flags["publish-all"],
    ReadonlyRootfs: flags["read-only"],
    SecurityOpt: security.options,
    StorageOpt: storageOptions(flags["storage-opt"]),
    Tmpfs: tmpfs(flags.tmpfs),
    UTSMode: flags.uts,
    UsernsMode: flags.userns,
    ShmSize: flags["shm-size"],
    Sysctls: flags.sysctl,
    Runtime: flags.runtime,
    Isolation: flags.isolation as HostConfig["Isolation"],
    Annotations: flags.annotation,
    Mounts: flags.mount,
    ...resources(flags),
    Devices: flags.device.filter((device) => !isCdiName(device)).map(parseDevice),
    DeviceRequests: [...(cdi.length > 0 ? [{ Driver: "cdi", DeviceIDs: cdi }] : []), ...flags.gpus],
  });
  if (security.unconfinedPaths) Object.assign(host, { MaskedPaths: [], ReadonlyPaths: [] });
  if (context.given("init")) host.Init = flags.init;
  if (context.given("oom-kill-disable")) host.OomKillDisable = flags["oom-kill-disable"];
  if (flags["memory-swappiness"] !== -1) host.MemorySwappiness = flags["memory-swappiness"];
  return host;
}

function resources(flags: ContainerValues): Partial<HostConfig> {
  const swappiness = flags["memory-swappiness"];
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100)) {
    throw new LighterError("invalid", `invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  }
  return {
    CgroupParent: flags["cgroup-parent"],
    Memory: flags.memory,
    MemoryReservation: flags["memory-reservation"],
    MemorySwap: flags["memory-swap"],
    NanoCpus: flags.cpus,
    CpuShares: flags["cpu-shares"],
    CpuPeriod: flags["cpu-period"],
    CpuQuota: flags["cpu-quota"],
    CpuRealtimePeriod: flags["cpu-rt-period"],
    CpuRealtimeRuntime: flags["cpu-rt-runtime"],
    CpusetCpus: flags["cpuset-cpus"],
    CpusetMems: flags["cpuset-mems"],
    PidsLimit: flags["pids-limit"],
    BlkioWeight: flags["blkio-weight"],
    BlkioWeightDevice: flags["blkio-weight-device"],
    BlkioDeviceReadBps: flags["device-read-bps"],
    BlkioDeviceWriteBps: flags["device-write-bps"],
    BlkioDeviceReadIOps: flags["device-read-iops"],
    BlkioDeviceWriteIOps: flags["device-write-iops"],
    DeviceCgroupRules: flags["device-cgroup-rule"],
    Ulimits: flags.ulimit,
  };
}

/** One spelling for capabilities, sorted: `net_admin` is `CAP_NET_ADMIN`; `ALL` swallows none of the others here. */
function capabilities(names: readonly string[]): string[] {
  const upper = names.map((name) => name.trim().toUpperCase());
  const full = upper.map((name) => (name === "ALL" || name === "RESET" || name.startsWith("CAP_") ? name : `CAP_${name}`));
  return full.includes("ALL") ? ["ALL"] : [...new Set(full)].sort();
}

/** Flags that only daemons on Windows know. */
const WINDOWS_ONLY = ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"] as const;

/** Refuses, as docker does before it asks the daemon anything, what cannot be meant for a daemon on Linux. */
export function windowsOnly(given: (name: string) => boolean): string[] {
  return WINDOWS_ONLY.filter(given).map(
    (name) => `"--${name}" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux`,
  );
}

function checkModes(flags: ContainerValues): void {
  const bad = (flag: string, mode: string): LighterError => new LighterError("invalid", `--${flag}: invalid ${mode} mode`);
  const container = (value: string): boolean => /^container:.+/.test(value);
  if (flags.pid !== "" && flags.pid !== "host" && !container(flags.pid)) throw bad("pid", "PID");
  if (flags.uts !== "" && flags.uts !== "host") throw bad("uts", "UTS");
  if (flags.userns !== "" && flags.userns !== "host") throw bad("userns", "USER");
  if (!["", "host", "private"].includes(flags.cgroupns)) throw bad("cgroupns", "CGROUP");
  if (flags.rm && !["no", ""].includes(flags.restart))
    throw new LighterError("invalid", "conflicting options: cannot specify both --restart and --rm");
  if (flags["mac-address"] !== "" && !/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(flags["mac-address"])) {
    throw new LighterError("invalid", `${flags["mac-address"]} is not a valid mac address`);
  }
}

/** `--restart NAME[:COUNT]`. Throws `invalid` with docker's texts. */
export function restartPolicy(text: string): RestartPolicy {
  const [name = "", count, ...more] = text.split(":");
  if (more.length > 0) throw new LighterError("invalid", "invalid restart policy format: maximum retry count must be an integer");
  const policy = { Name: (name === "" && count === undefined ? "no" : name) as NonNullable<RestartPolicy["Name"]> };
  if (count === undefined) return policy;
  if (name === "") throw new LighterError("invalid", "invalid restart policy format: no policy provided before colon");
  if (!/^-?\d+$/.test(count)) throw new LighterError("invalid", "invalid restart policy format: maximum retry count must be an integer");
  return { ...policy, MaximumRetryCount: Number(count) };
}

function splitVolumes(specs: readonly string[]): [Record<string, Record<string, never>>, string[]] {
  const anonymous: Record<string, Record<string, never>> = {};
  const binds: string[] = [];
  for (const spec of new Set(specs)) {
    if (spec === "") throw new LighterError("invalid", "invalid empty volume spec");
    const parts = spec.split(":");
    if (parts.some((part) => part === "")) throw new LighterError("invalid", `invalid spec: ${spec}: empty section between colons`);
    if (parts.length > 3) throw new LighterError("invalid", `invalid spec: ${spec}: too many colons`);
    const [source = "", ...rest] = parts;
    if (rest.length === 0) anonymous[source] = {};
    else binds.push([isRelative(source) ? node.path.resolve(source) : source, ...rest].join(":"));
  }
  return [anonymous, binds];
}

function isRelative(path: string): boolean {
  return path === "." || path === ".." || path.startsWith("./") || path.startsWith("../");
}

/** What `--env-file` and `--env` name, with the caller's values for names alone. */
export function environmentOf(flags: { env: readonly string[]; "env-file": readonly string[] }, env: NodeJS.ProcessEnv): string[] {
  const variables = flags["env-file"].flatMap((path) => readKeyValueFile(path, (key) => env[key]));
  for (const one of flags.env) {
    const value = one.includes("=") ? undefined : env[one];
    variables.push(value === undefined ? one : `${one}=${value}`);
  }
  return variables;
}

function environment(flags: ContainerValues, context: BodyContext): string[] {
  const variables = environmentOf(flags, context.env);
  for (const [name, value] of Object.entries(context.proxies ?? {})) {
    if (!variables.some((one) => one === name || one.startsWith(`${name}=`))) variables.push(`${name}=${value}`);
  }
  return variables;
}

function labels(flags: ContainerValues): Record<string, string> {
  const all: Record<string, string> = {};
  for (const path of flags["label-file"]) for (const line of readKeyValueFile(path, () => undefined)) Object.assign(all, keyValue(line));
  for (const label of flags.label) Object.assign(all, keyValue(label));
  return Object.assign(all, healthActionLabel(flags["health-on-failure"]), egressLabel(flags));
}

/** The label that says what happens to an unhealthy container; none for an empty word. Throws `invalid` for a word that nobody knows. */
export function healthActionLabel(action: string): Record<string, string> {
  if (action === "") return {};
  if (!HEALTH_ACTIONS.some((known) => known === action))
    throw new LighterError("invalid", `invalid --health-on-failure '${action}': use none, kill, restart or stop`);
  return { [HEALTH_ACTION_LABEL]: action };
}

const HEALTH_FLAGS = [
  "health-cmd",
  "health-interval",
  "health-timeout",
  "health-start-period",
  "health-start-interval",
  "health-retries",
] as const;

/** The health check that the flags ask for; undefined where none of them was given. */
export function healthOf(
  flags: Pick<ContainerValues, (typeof HEALTH_FLAGS)[number] | "no-healthcheck">,
  given: (name: (typeof HEALTH_FLAGS)[number]) => boolean,
): HealthConfig | undefined {
  const names = HEALTH_FLAGS;
  const some = names.some((name) => given(name));
  if (flags["no-healthcheck"]) {
    if (some) throw new LighterError("invalid", "--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!some) return undefined;
  for (const name of names) {
    const value = flags[name];
    if (typeof value === "number" && value < 0) throw new LighterError("invalid", `--${name} cannot be negative`);
  }
  return compact<HealthConfig>({
    Test: flags["health-cmd"] === "" ? undefined : ["CMD-SHELL", flags["health-cmd"]],
    Interval: flags["health-interval"],
    Timeout: flags["health-timeout"],
    StartPeriod: flags["health-start-period"],
    StartInterval: flags["health-start-interval"],
    Retries: flags["health-retries"],
  });
}

function logConfig(flags: ContainerValues): HostConfig["LogConfig"] {
  const driver = flags["log-driver"];
  if (driver === "none" && flags["log-opt"].length > 0) throw new LighterError("invalid", "invalid logging opts for driver none");
  const Config: Record<string, string> = {};
  for (const option of flags["log-opt"]) Object.assign(Config, keyValue(option));
  return driver === "" && flags["log-opt"].length === 0
    ? undefined
    : compact<NonNullable<HostConfig["LogConfig"]>>({ Type: driver as "none", Config });
}

function securityOptions(given: readonly string[]): { options: string[]; unconfinedPaths: boolean } {
  const options: string[] = [];
  let unconfinedPaths = false;
  for (const option of given) {
    const [, key = "", value = ""] = /^([^=:]+)[=:](.*)$/s.exec(option) ?? [];
    if (key === "" && option !== "no-new-privileges")
      throw new LighterError("invalid", `Invalid --security-opt: ${JSON.stringify(option)}`);
    if (key === "systempaths" && value === "unconfined") unconfinedPaths = true;
    else if (key === "seccomp" && value !== "unconfined" && value !== "builtin") options.push(`seccomp=${seccompProfile(value)}`);
    else options.push(option);
  }
  return { options, unconfinedPaths };
}

function seccompProfile(path: string): string {
  let text: string;
  try {
    text = node.fs.readFileSync(path, "utf8");
  } catch (error) {
    throw new LighterError("invalid", `opening seccomp profile (${path}) failed: open ${path}: no such file or directory`, {
      cause: error,
    });
  }
  try {
    return JSON.stringify(parseExactly(text));
  } catch (error) {
    throw new LighterError("invalid", `compacting json for seccomp profile (${path}) failed: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function storageOptions(options: readonly string[]): Record<string, string> {
  const all: Record<string, string> = {};
  for (const option of options) {
    if (!option.includes("=")) throw new LighterError("invalid", "invalid storage option");
    Object.assign(all, keyValue(option));
  }
  return all;
}

function tmpfs(specs: readonly string[]): Record<string, string> {
  const all: Record<string, string> = {};
  for (const spec of specs) {
    const at = spec.indexOf(":");
    all[at < 0 ? spec : spec.slice(0, at)] = at < 0 ? "" : spec.slice(at + 1);
  }
  return all;
}

/** The networks of a container, with what older flags (`--ip`, `--network-alias`, `--link`) say of the first. */
function networkAttachments(flags: ContainerValues): NetworkAttachment[] {
  const networks = flags.network.map((one) => structuredClone(one));
  if (networks.some(({ name }) => name === "")) throw new LighterError("invalid", "no name set for network");
  const first = networks[0] ?? attachmentTo("default");
  if (networks.length === 0) networks.push(first);
  const user = networks.filter(({ name }) => isUserDefined(name)).length;
  if (user > 0 && user < networks.length) {
    throw new LighterError("invalid", "conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  }
  for (const [at, { name }] of networks.entries()) {
    if (networks.findIndex((one) => one.name === name) !== at)
      throw new LighterError("invalid", `network ${JSON.stringify(name)} is specified multiple times`);
  }
  if (flags["network-alias"].length > 0 && !isUserDefined(first.name)) {
    throw new LighterError("invalid", "network-scoped aliases are only supported for user-defined networks");
  }
  first.aliases.push(...flags["network-alias"]);
  if (isUserDefined(first.name)) first.links.push(...flags.link);
  first.linkLocalIps.push(...flags["link-local-ip"]);
  if (flags.ip !== "") first.ip = only("ip", "IPv4 address", first.ip, flags.ip);
  if (flags.ip6 !== "") first.ip6 = only("ip6", "IPv6 address", first.ip6, flags.ip6);
  if (flags["mac-address"] !== "") first.mac = only("mac-address", "MAC address", first.mac, flags["mac-address"]);
  return networks;
}

function only(flag: string, what: string, before: string, value: string): string {
  if (before !== "") throw new LighterError("invalid", `conflicting options: cannot specify both --${flag} and per-network ${what}`);
  return value;
}
