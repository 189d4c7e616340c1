import { describe, expect, test } from "bun:test";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import { checkCgroupParent } from "./cgroup-parent.ts";
import { CONTAINER_DEFAULTS } from "./container-defaults.ts";
import type { PlannedMount } from "./desired.ts";
import { fillHostConfig, MASKED_PATHS, READONLY_PATHS } from "./host-config.ts";
import { mergeConfig } from "./merge-config.ts";
import { specOf, type SpecInputs } from "./spec.ts";

function spec(
  host: HostConfig = {},
  config: ContainerConfig = {},
  more: Partial<SpecInputs> & { mounts?: PlannedMount[] } = {},
): ReturnType<typeof specOf> {
  const { mounts = [], ...inputs } = more;
  const filled = fillHostConfig(host, {
    logDriver: "json-file",
    logOptions: {},
    shmSize: 64 << 20,
    runtime: "crun",
    cgroupVersion: 2,
    init: false,
  });
  return specOf({
    id: "f".repeat(64),
    desired: {
      v: 1,
      config: mergeConfig({ Cmd: ["true"], ...config }, {}),
      hostConfig: filled,
      endpoints: {},
      mounts,
      configDigest: "",
      os: "linux",
      warnings: [],
    },
    hostname: "boat",
    user: { uid: 0, gid: 0, additionalGids: [0], home: "/root" },
    network: "/run/net",
    joined: {},
    cgroup: { version: 2, driver: "cgroupfs" },
    sources: new Map(),
    files: new Map(),
    sharedShm: undefined,
    defaults: CONTAINER_DEFAULTS,
    ...inputs,
  });
}

/** The part of the specification that a flag changes, in a few words. */
const table: [string, HostConfig, ContainerConfig, (made: ReturnType<typeof specOf>) => unknown, unknown][] = [
  [
    "memory and its swap, twice of it by default",
    { Memory: 64 << 20 },
    {},
    (s) => s.linux.resources?.memory,
    { limit: 64 << 20, swap: 128 << 20 },
  ],
  ["unlimited swap", { Memory: 64 << 20, MemorySwap: -1 }, {}, (s) => s.linux.resources?.memory, { limit: 64 << 20, swap: -1 }],
  ["cpus", { NanoCpus: 1.5e9 }, {}, (s) => s.linux.resources?.cpu, { period: 100_000, quota: 150_000 }],
  ["shares and a set", { CpuShares: 512, CpusetCpus: "0" }, {}, (s) => s.linux.resources?.cpu, { shares: 512, cpus: "0" }],
  ["pids", { PidsLimit: 10 }, {}, (s) => s.linux.resources?.pids, { limit: 10 }],
  ["no limit, nothing set", {}, {}, (s) => Object.keys(s.linux.resources ?? {}), ["devices"]],
  ["host's pid namespace", { PidMode: "host" }, {}, (s) => s.linux.namespaces.some(({ type }) => type === "pid"), false],
  ["host's ipc namespace", { IpcMode: "host" }, {}, (s) => s.linux.namespaces.some(({ type }) => type === "ipc"), false],
  [
    "host's uts namespace keeps the name",
    { UTSMode: "host" },
    {},
    (s) => [s.hostname, s.linux.namespaces.some(({ type }) => type === "uts")],
    [undefined, false],
  ],
  ["own cgroup namespace", {}, {}, (s) => s.linux.namespaces.some(({ type }) => type === "cgroup"), true],
  ["host's cgroup namespace", { CgroupnsMode: "host" }, {}, (s) => s.linux.namespaces.some(({ type }) => type === "cgroup"), false],
  ["read-only root", { ReadonlyRootfs: true }, {}, (s) => s.root.readonly, true],
  [
    "shm size",
    { ShmSize: 1 << 20 },
    {},
    (s) => s.mounts.find(({ destination }) => destination === "/dev/shm")?.options?.at(-1),
    `size=${1 << 20}`,
  ],
  ["no shm", { IpcMode: "none" }, {}, (s) => s.mounts.some(({ destination }) => destination === "/dev/shm"), false],
  [
    "tmpfs with its own flags",
    { Tmpfs: { "/t": "exec,size=1m" } },
    {},
    (s) => s.mounts.at(-1)?.options,
    ["nosuid", "nodev", "exec", "size=1m"],
  ],
  ["masked and read-only paths", {}, {}, (s) => [s.linux.maskedPaths, s.linux.readonlyPaths], [MASKED_PATHS, READONLY_PATHS]],
  ["privileged masks nothing", { Privileged: true }, {}, (s) => [s.linux.maskedPaths, s.linux.readonlyPaths], [[], []]],
  ["privileged may use every device", { Privileged: true }, {}, (s) => s.linux.resources?.devices, [{ allow: true, access: "rwm" }]],
  [
    "a device rule comes last",
    { DeviceCgroupRules: ["c 42:* rw"] },
    {},
    (s) => s.linux.resources?.devices?.at(-1),
    { allow: true, type: "c", major: 42, access: "rw" },
  ],
  [
    "sysctls",
    { Sysctls: { "net.ipv4.ping_group_range": "1 0" } },
    {},
    (s) => s.linux.sysctl,
    { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "1 0" },
  ],
  ["another container's network has its sysctls already", { NetworkMode: "container:x" }, {}, (s) => s.linux.sysctl, undefined],
  ["a cgroup parent", { CgroupParent: "/mine" }, {}, (s) => s.linux.cgroupsPath, `/mine/${"f".repeat(64)}`],
  ["no new privileges", { SecurityOpt: ["no-new-privileges:true"] }, {}, (s) => s.process.noNewPrivileges, true],
  [
    "ulimits",
    { Ulimits: [{ Name: "nofile", Soft: 10, Hard: 20 }] },
    {},
    (s) => s.process.rlimits,
    [{ type: "RLIMIT_NOFILE", soft: 10, hard: 20 }],
  ],
  ["annotations", { Annotations: { a: "b" } }, {}, (s) => s.annotations, { a: "b" }],
  ["a terminal", {}, { Tty: true }, (s) => [s.process.terminal, s.process.env.includes("TERM=xterm")], [true, true]],
  ["entrypoint and command", {}, { Entrypoint: ["a", "b"], Cmd: ["c"] }, (s) => s.process.args, ["a", "b", "c"]],
  ["working directory", {}, { WorkingDir: "/w" }, (s) => s.process.cwd, "/w"],
  ["init", { Init: true }, {}, (s) => s.process.args, ["/sbin/docker-init", "--", "true"]],
];

describe("specification", () => {
  for (const [name, host, config, pick, wanted] of table) test(name, () => expect(pick(spec(host, config))).toEqual(wanted));

  test("environment: PATH, HOSTNAME, the configured, HOME; an entry without = removes", () => {
    const { env } = spec({}, { Env: ["A=1", "PATH=/bin", "HOSTNAME"] }).process;
    expect(env).toEqual(["PATH=/bin", "A=1", "HOME=/root"]);
  });

  test("default mounts are Docker's; what the user mounts in their place wins", () => {
    expect(spec().mounts.map(({ destination }) => destination)).toEqual([
      "/proc",
      "/dev",
      "/dev/pts",
      "/sys",
      "/sys/fs/cgroup",
      "/dev/mqueue",
      "/dev/shm",
    ]);
    const bind: PlannedMount = {
      type: "bind",
      source: "/h",
      destination: "/dev",
      rw: true,
      mode: "",
      propagation: "rprivate",
      fromBind: true,
    };
    expect(spec({}, {}, { mounts: [bind] }).mounts.map(({ destination }) => destination)).toEqual([
      "/proc",
      "/sys",
      "/sys/fs/cgroup",
      "/dev",
    ]);
  });

  test("binds: by depth, read-only all the way down, propagation", () => {
    const bind = (destination: string, more: Partial<PlannedMount>): PlannedMount => ({
      type: "bind",
      source: "/h",
      destination,
      rw: true,
      mode: "",
      propagation: "rprivate",
      fromBind: true,
      ...more,
    });
    const made = spec({}, {}, { mounts: [bind("/a/b/c", { rw: false }), bind("/a", { propagation: "rslave" })] });
    expect(made.mounts.slice(-2)).toEqual([
      { destination: "/a", type: "bind", source: "/h", options: ["rbind", "rslave"] },
      { destination: "/a/b/c", type: "bind", source: "/h", options: ["rbind", "rprivate", "rro", "ro"] },
    ]);
    expect(made.linux.rootfsPropagation).toBe("rslave");
  });

  test("joined namespaces are paths", () => {
    const made = spec({ PidMode: "container:x", IpcMode: "container:x" }, {}, { joined: { pid: "/proc/7/ns/pid", ipc: "/proc/7/ns/ipc" } });
    expect(made.linux.namespaces).toEqual([
      { type: "mount" },
      { type: "network", path: "/run/net" },
      { type: "uts" },
      { type: "pid", path: "/proc/7/ns/pid" },
      { type: "ipc", path: "/proc/7/ns/ipc" },
      { type: "cgroup" },
    ]);
  });
});

describe("control groups", () => {
  const at = (version: 1 | 2, driver: "cgroupfs" | "systemd", host: HostConfig): ReturnType<typeof specOf>["linux"] =>
    spec(host, {}, { cgroup: { version, driver } }).linux;
  const id = "f".repeat(64);

  test("cgroupfs takes any place of the hierarchy, and none outside of it", () => {
    for (const [parent, path] of [
      ["/mine", `/mine/${id}`],
      ["mine/deeper/", `/mine/deeper/${id}`],
      ["/a/../../../b", `/b/${id}`],
    ] as const)
      for (const version of [1, 2] as const) expect(at(version, "cgroupfs", { CgroupParent: parent }).cgroupsPath).toBe(path);
    expect(at(2, "cgroupfs", {}).cgroupsPath).toBeUndefined();
  });

  test("systemd takes a slice, in which it makes a scope", () => {
    expect(at(2, "systemd", { CgroupParent: "mine.slice" }).cgroupsPath).toBe(`mine.slice:lighter:${id}`);
    checkCgroupParent({ CgroupParent: "mine-deeper.slice" }, "systemd");
    for (const CgroupParent of ["/mine", "mine", ".slice", "a/b.slice"])
      expect(() => checkCgroupParent({ CgroupParent }, "systemd")).toThrow(
        'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"',
      );
    checkCgroupParent({ CgroupParent: "/mine" }, "cgroupfs");
  });

  test("swappiness is of v1 alone; the rest is said in the same words, which the runtimes translate", () => {
    const host = {
      Memory: 64 << 20,
      MemorySwap: 96 << 20,
      MemoryReservation: 32 << 20,
      MemorySwappiness: 5,
      CpuShares: 512,
      BlkioWeight: 300,
      PidsLimit: 9,
    };
    const memory = { limit: 64 << 20, reservation: 32 << 20, swap: 96 << 20 };
    for (const driver of ["cgroupfs", "systemd"] as const) {
      expect(at(1, driver, host).resources?.memory).toEqual({ ...memory, swappiness: 5 });
      expect(at(2, driver, host).resources).toMatchObject({ memory, cpu: { shares: 512 }, blockIO: { weight: 300 }, pids: { limit: 9 } });
      expect(at(2, driver, host).resources?.memory).toEqual(memory);
    }
  });

  test("a quota below zero is none", () => {
    expect(at(2, "systemd", { CpuQuota: -5, CpuPeriod: 5000 }).resources?.cpu).toEqual({ period: 5000 });
  });

  test("who may write to them", () => {
    const access = (host: HostConfig): string | undefined =>
      spec(host).mounts.find(({ destination }) => destination === "/sys/fs/cgroup")?.options?.[0];
    expect(access({})).toBe("ro");
    expect(access({ Privileged: true })).toBe("rw");
    expect(access({ Privileged: true, ReadonlyRootfs: true })).toBe("ro");
    expect(access({ SecurityOpt: ["writable-cgroups=true"] })).toBe("rw");
    expect(access({ Privileged: true, SecurityOpt: ["writable-cgroups=false"] })).toBe("ro");
  });
});
