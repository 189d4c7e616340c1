import { anything, flag, integer, listOf, mapOf, object, text, words } from "./shape.ts";

/*
 * The bodies that make containers and execs. Written by hand rather than with zod: this is the hot path of `run` (numbers in docs/decisions/0002-http-front.md).
 */

const texts = listOf(text);
const labels = mapOf(text);
const set = mapOf(anything);
const throttles = listOf(object({ Path: text, Rate: integer }));

const endpoint = object({
  IPAMConfig: object({ IPv4Address: text, IPv6Address: text, LinkLocalIPs: texts }),
  Links: texts,
  MacAddress: text,
  Aliases: texts,
  DriverOpts: labels,
  GwPriority: integer,
  NetworkID: text,
  EndpointID: text,
  Gateway: text,
  IPAddress: text,
  IPPrefixLen: integer,
  DNSNames: texts,
});

/** `EndpointsConfig` of a container's create, and the body of a network's connect. A network named with null is joined as it is. */
export const endpoints = mapOf(endpoint, "empty");
export { endpoint };

const mount = object({
  Target: text,
  Source: text,
  Type: text,
  ReadOnly: flag,
  Consistency: text,
  BindOptions: object({
    Propagation: text,
    NonRecursive: flag,
    CreateMountpoint: flag,
    ReadOnlyNonRecursive: flag,
    ReadOnlyForceRecursive: flag,
  }),
  VolumeOptions: object({ NoCopy: flag, Labels: labels, DriverConfig: object({ Name: text, Options: labels }), Subpath: text }),
  ImageOptions: object({ Subpath: text }),
  TmpfsOptions: object({ SizeBytes: integer, Mode: integer, Options: listOf(texts) }),
  // Ours: see wire/id-map.ts.
  Lighter: object({ IdMap: text }),
});

const portMap = mapOf(listOf(object({ HostIp: text, HostPort: text })), "keep");

/** Limits and devices: of a create, and of an update. */
const healthcheck = object({
  Test: texts,
  Interval: integer,
  Timeout: integer,
  Retries: integer,
  StartPeriod: integer,
  StartInterval: integer,
});

const limits = {
  CpuShares: integer,
  Memory: integer,
  CgroupParent: text,
  BlkioWeight: integer,
  BlkioWeightDevice: listOf(object({ Path: text, Weight: integer })),
  BlkioDeviceReadBps: throttles,
  BlkioDeviceWriteBps: throttles,
  BlkioDeviceReadIOps: throttles,
  BlkioDeviceWriteIOps: throttles,
  CpuPeriod: integer,
  CpuQuota: integer,
  CpuRealtimePeriod: integer,
  CpuRealtimeRuntime: integer,
  CpusetCpus: text,
  CpusetMems: text,
  Devices: listOf(object({ PathOnHost: text, PathInContainer: text, CgroupPermissions: text })),
  DeviceCgroupRules: texts,
  DeviceRequests: listOf(object({ Driver: text, Count: integer, DeviceIDs: texts, Capabilities: listOf(texts), Options: labels })),
  MemoryReservation: integer,
  MemorySwap: integer,
  MemorySwappiness: integer,
  NanoCpus: integer,
  OomKillDisable: flag,
  Init: flag,
  PidsLimit: integer,
  Ulimits: listOf(object({ Name: text, Soft: integer, Hard: integer })),
};

const hostConfig = object({
  Binds: texts,
  ContainerIDFile: text,
  LogConfig: object({ Type: text, Config: labels }),
  NetworkMode: text,
  PortBindings: portMap,
  RestartPolicy: object({ Name: text, MaximumRetryCount: integer }),
  AutoRemove: flag,
  VolumeDriver: text,
  VolumesFrom: texts,
  Mounts: listOf(mount),
  ConsoleSize: listOf(integer),
  Annotations: labels,
  CapAdd: words,
  CapDrop: words,
  CgroupnsMode: text,
  Dns: texts,
  DnsOptions: texts,
  DnsSearch: texts,
  ExtraHosts: texts,
  GroupAdd: texts,
  IpcMode: text,
  Cgroup: text,
  Links: texts,
  OomScoreAdj: integer,
  PidMode: text,
  Privileged: flag,
  PublishAllPorts: flag,
  ReadonlyRootfs: flag,
  SecurityOpt: texts,
  StorageOpt: labels,
  Tmpfs: labels,
  UTSMode: text,
  // Ours: see containers/debug.ts.
  DebugContainer: text,
  DebugImage: text,
  UsernsMode: text,
  ShmSize: integer,
  Sysctls: labels,
  Runtime: text,
  Isolation: text,
  MaskedPaths: texts,
  ReadonlyPaths: texts,
  ...limits,
});

export { healthcheck, limits, mount, portMap };

/** The body of `/containers/create`. */
export const createBody = object({
  Hostname: text,
  Domainname: text,
  User: text,
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  ExposedPorts: set,
  Tty: flag,
  OpenStdin: flag,
  StdinOnce: flag,
  Env: texts,
  Cmd: words,
  Healthcheck: healthcheck,
  ArgsEscaped: flag,
  Image: text,
  Volumes: set,
  WorkingDir: text,
  Entrypoint: words,
  NetworkDisabled: flag,
  MacAddress: text,
  OnBuild: texts,
  Labels: labels,
  StopSignal: text,
  StopTimeout: integer,
  Shell: words,
  HostConfig: hostConfig,
  NetworkingConfig: object({ EndpointsConfig: endpoints }),
});

/** The body of `/containers/{id}/exec`. */
export const execBody = object({
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  DetachKeys: text,
  Tty: flag,
  Env: texts,
  Cmd: words,
  Privileged: flag,
  User: text,
  WorkingDir: text,
  ConsoleSize: listOf(integer),
});

/** The body of `/exec/{id}/start`. */
export const execStartBody = object({ Detach: flag, Tty: flag, ConsoleSize: listOf(integer) });
