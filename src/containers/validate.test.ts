import { describe, expect, test } from "bun:test";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import { parseBind } from "./bind-spec.ts";
import { capabilitiesOf, DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { parseRule } from "./devices.ts";
import { fillHostConfig } from "./host-config.ts";
import { mergeConfig } from "./merge-config.ts";
import { planMounts } from "./plan-mounts.ts";
import { signalNumber } from "../base/signals.ts";
import { rlimitsOf } from "./ulimits.ts";
import { type Machine, parseSet, validateResources } from "./validate-resources.ts";
import { validateConfig, validateName } from "./validate.ts";

const machine: Machine = {
  cpus: 2,
  onlineCpus: "0-1",
  onlineMemoryNodes: "0",
  cgroupVersion: 1,
  controllers: ["memory", "cpu", "cpuset", "pids", "blkio"],
  has: () => true,
};

const MB = 1 << 20;

describe("limits", () => {
  const cases: [HostConfig, string][] = [
    [{ Memory: MB }, "Minimum memory limit allowed is 6MB"],
    [{ Memory: 8 * MB, MemorySwap: 7 * MB }, "Minimum memoryswap limit should be larger than memory limit, see usage"],
    [{ MemorySwap: 8 * MB }, "You should always set the Memory limit when using Memoryswap limit, see usage"],
    [{ MemorySwappiness: 101 }, "Invalid value: 101, valid memory swappiness range is 0-100"],
    [{ MemoryReservation: MB }, "Minimum memory reservation allowed is 6MB"],
    [{ Memory: 8 * MB, MemoryReservation: 9 * MB }, "Minimum memory limit can not be less than memory reservation limit, see usage"],
    [{ NanoCpus: 1e9, CpuPeriod: 5000 }, "Conflicting options: Nano CPUs and CPU Period cannot both be set"],
    [{ NanoCpus: 1e9, CpuQuota: 5000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"],
    [{ NanoCpus: 3e9 }, "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"],
    [{ CpuPeriod: 999 }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"],
    [{ CpuQuota: 999 }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"],
    [{ CpusetCpus: "0-x" }, "Invalid value 0-x for cpuset cpus"],
    [{ CpusetCpus: "0-4" }, "Requested CPUs are not available - requested 0-4, available: 0-1"],
    [{ CpusetMems: "1" }, "Requested memory nodes are not available - requested 1, available: 0"],
    [{ BlkioWeight: 5 }, "Range of blkio weight is from 10 to 1000"],
    [{ OomScoreAdj: 1001 }, "Invalid value 1001, range for oom score adj is [-1000, 1000]"],
    [{ ShmSize: -1 }, "SHM size can not be less than 0"],
  ];
  for (const [host, text] of cases) test(text, () => expect(() => validateResources(host, machine)).toThrow(text));

  test("what no controller can enforce is dropped with Docker's warning", () => {
    const host: HostConfig = { Memory: 64 * MB, PidsLimit: 5, NanoCpus: 1e9 };
    const warnings = validateResources(host, { ...machine, controllers: ["cpu"] });
    expect<unknown>(host).toEqual({ Memory: 0, MemorySwap: 0, PidsLimit: null, NanoCpus: 1e9 });
    expect(warnings).toEqual([
      "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
      "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
    ]);
  });

  test("what this kernel's controllers have no file for is dropped with Docker's warning", () => {
    const host = {
      Memory: 64 * MB,
      MemorySwap: 128 * MB,
      BlkioWeight: 300,
      BlkioWeightDevice: [{ Path: "/dev/null", Weight: 100 }],
      OomKillDisable: true,
    };
    const warnings = validateResources(host, { ...machine, has: (_controller, file) => !/weight|memsw|oom/.test(file) });
    expect<unknown>(host).toEqual({ Memory: 64 * MB, MemorySwap: -1, BlkioWeight: 0, BlkioWeightDevice: [], OomKillDisable: null });
    expect(warnings).toEqual([
      "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
      "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
      "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
      "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    ]);
  });

  test("cgroup v2 has the limits of its controllers, but no oom-kill-disable", () => {
    const host = { Memory: 64 * MB, MemorySwappiness: 10, BlkioWeight: 300, OomKillDisable: true };
    const v2 = { ...machine, cgroupVersion: 2 as const, controllers: ["memory", "cpu", "cpuset", "pids", "io"], has: () => false };
    expect(validateResources(host, v2)).toEqual([
      "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
      "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    ]);
    expect<unknown>(host).toEqual({ Memory: 64 * MB, MemorySwappiness: null, BlkioWeight: 300, OomKillDisable: null });
  });

  test("cpus need the scheduler's cgroup", () => {
    expect(() => validateResources({ NanoCpus: 1e9 }, { ...machine, controllers: [] })).toThrow(
      "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
    );
  });

  test("sets of numbers", () => {
    expect([...(parseSet("0-2,7") ?? [])]).toEqual([0, 1, 2, 7]);
    for (const bad of ["", "2-1", "a", "1,", "-1"]) expect(parseSet(bad)).toBeUndefined();
  });

  test("a ulimit above the machine's is lowered and said", () => {
    const limits =
      "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 20000                files     \n";
    const { rlimits, warnings } = rlimitsOf([{ Name: "nofile", Soft: 5000, Hard: 50_000 }], { mayRaise: false, limits });
    expect(rlimits).toEqual([{ type: "RLIMIT_NOFILE", soft: 5000, hard: 20_000 }]);
    expect(warnings).toEqual(["ulimit nofile: 50000 is above this machine's hard limit and was lowered to 20000"]);
    expect(rlimitsOf([{ Name: "nofile", Soft: 5000, Hard: 50_000 }], { mayRaise: true, limits }).rlimits[0]?.hard).toBe(50_000);
    expect(JSON.stringify(rlimitsOf([{ Name: "memlock", Soft: -1, Hard: -1 }], { mayRaise: true, limits }).rlimits)).toBe(
      '[{"type":"RLIMIT_MEMLOCK","soft":18446744073709551615,"hard":18446744073709551615}]',
    );
  });
});

describe("configuration", () => {
  const check = (config: ContainerConfig, host: HostConfig = {}): void => {
    const filled = fillHostConfig(host, {
      logDriver: "json-file",
      logOptions: {},
      shmSize: MB,
      runtime: "",
      cgroupVersion: 1,
      init: false,
    });
    validateConfig(mergeConfig({ Cmd: ["x"], ...config }, {}), filled);
  };
  const cases: [ContainerConfig, HostConfig, string][] = [
    [{ Cmd: [] }, {}, "no command specified"],
    [{ WorkingDir: "w" }, {}, "the working directory 'w' is invalid, it needs to be an absolute path"],
    [{ Env: ["=x"] }, {}, "invalid environment variable: =x"],
    [{ StopSignal: "SIGNONE" }, {}, "invalid signal: SIGNONE"],
    [{ ExposedPorts: { "80/ftp": {} } }, {}, 'invalid port specification: "80/ftp"'],
    [{ Healthcheck: { Interval: 5 } }, {}, "Interval in Healthcheck cannot be less than 1ms"],
    [{ Hostname: "x" }, { UTSMode: "host" }, "conflicting options: hostname and the UTS mode"],
    [{ Hostname: "x" }, { NetworkMode: "container:y" }, "conflicting options: hostname and the network mode"],
    [{}, { NetworkMode: "container:y", PublishAllPorts: true }, "conflicting options: port publishing and the container type network mode"],
    [{}, { NetworkMode: "container:" }, "invalid container format container:<name|id>"],
    [{}, { PidMode: "mine" }, "invalid PID mode: mine"],
    [{}, { IpcMode: "mine" }, "invalid IPC mode: mine"],
    [{}, { RestartPolicy: { Name: "sometimes" as "no" } }, "invalid restart policy: unknown policy 'sometimes'"],
    [{}, { RestartPolicy: { Name: "always", MaximumRetryCount: 2 } }, "maximum retry count can only be used with 'on-failure'"],
    [{}, { AutoRemove: true, RestartPolicy: { Name: "always" } }, "can't create 'AutoRemove' container with restart policy"],
    [{}, { SecurityOpt: ["what"] }, 'invalid --security-opt 1: "what"'],
    [{}, { SecurityOpt: ["what=ever"] }, 'invalid --security-opt 2: "what=ever"'],
    [{}, { SecurityOpt: ["seccomp={"] }, "Decoding seccomp profile failed"],
    [{}, { LogConfig: { Type: "papyrus" as "none" } }, 'error looking up logging plugin papyrus: plugin "papyrus" not found'],
    [{}, { LogConfig: { Type: "json-file", Config: { size: "1" } } }, "unknown log opt 'size' for json-file log driver"],
    [{}, { Ulimits: [{ Name: "files", Soft: 1, Hard: 1 }] }, "invalid ulimit type: files"],
    [{}, { Ulimits: [{ Name: "nofile", Soft: 2, Hard: 1 }] }, "ulimit soft limit must be less than or equal to hard limit: 2 > 1"],
    [{}, { NetworkMode: "host", Sysctls: { "net.x": "1" } }, "sysctl 'net.x' is not allowed in host network mode"],
  ];
  for (const [config, host, text] of cases) test(text, () => expect(() => check(config, host)).toThrow(text));

  test("what is right passes", () => {
    check(
      { Hostname: "x", Env: ["A", "B="], StopSignal: "RTMIN+1", ExposedPorts: { "80/tcp": {}, "1-5/udp": {} } },
      {
        PidMode: "host",
        IpcMode: "shareable",
        SecurityOpt: ["label=disable", "seccomp=unconfined"],
        RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 },
      },
    );
  });

  test("names", () => {
    expect(validateName("/a.b-c_1")).toBe("a.b-c_1");
    for (const bad of ["", "a", "-ab", "a b", "a/b"])
      expect(() => validateName(bad)).toThrow(`Invalid container name (${bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  });

  test("signals by number and name", () => {
    expect(["9", "KILL", "sigterm", "RTMIN", "RTMAX-1"].map(signalNumber)).toEqual([9, 9, 15, 34, 63]);
    for (const bad of ["0", "NOPE", "RTMIN+40"]) expect(() => signalNumber(bad)).toThrow(`invalid signal: ${bad}`);
  });
});

describe("the image's part", () => {
  const image = {
    Env: ["PATH=/bin", "A=image"],
    Cmd: ["c"],
    Entrypoint: ["e"],
    Labels: { l: "image" },
    Volumes: { "/v": {} },
    User: "u",
    WorkingDir: "/w",
  };
  const parts = (asked: ContainerConfig): unknown[] => {
    const { Entrypoint, Cmd } = mergeConfig(asked, image);
    return [Entrypoint, Cmd];
  };

  test("commands and entrypoints", () => {
    expect(parts({})).toEqual([["e"], ["c"]]);
    expect(parts({ Cmd: ["x"] })).toEqual([["e"], ["x"]]);
    expect(parts({ Entrypoint: ["y"] })).toEqual([["y"], ["c"]].map((part, index) => (index === 0 ? part : null)));
    expect(parts({ Entrypoint: [""], Cmd: ["x"] })).toEqual([null, ["x"]]);
    expect(parts({ Cmd: "x" as unknown as string[] })).toEqual([["e"], ["x"]]);
  });

  test("environment, labels, volumes, user", () => {
    const merged = mergeConfig({ Env: ["A=mine"], Labels: { m: "1" }, Volumes: { "/x": {} } }, image);
    // What its containers may reach is not the image's to say.
    expect(mergeConfig({}, { Labels: { l: "image", "lighter.egress": "any" } }).Labels).toEqual({ l: "image" });
    expect(merged.Env).toEqual(["A=mine", "PATH=/bin"]);
    expect(merged.Labels).toEqual({ l: "image", m: "1" });
    expect(Object.keys(merged.Volumes ?? {})).toEqual(["/x", "/v"]);
    expect([merged.User, merged.WorkingDir]).toEqual(["u", "/w"]);
  });
});

describe("mounts", () => {
  const plan = (host: HostConfig, volumes: string[] = []): ReturnType<typeof planMounts> =>
    planMounts({ Volumes: Object.fromEntries(volumes.map((path) => [path, {}])) }, host, () => [
      { type: "volume", source: "theirs", destination: "/t", rw: true, mode: "", propagation: "", fromBind: false, anonymous: true },
    ]);

  test("-v in all its forms", () => {
    expect(parseBind("/h:/c:ro,rslave")).toMatchObject({
      type: "bind",
      source: "/h",
      destination: "/c",
      rw: false,
      propagation: "rslave",
      createSource: true,
    });
    expect(parseBind("name:/c/../d/:nocopy")).toMatchObject({ type: "volume", source: "name", destination: "/d", noCopy: true });
    expect(plan({ Binds: ["/anon"] })[0]).toMatchObject({ type: "volume", destination: "/anon", anonymous: true });
  });

  test("an image's volumes only where nothing else is; --volumes-from shares", () => {
    expect(
      plan({ Binds: ["nn:/v"], Tmpfs: { "/w": "" } }, ["/v", "/w", "/x"]).map(({ destination, anonymous }) => [
        destination,
        anonymous ?? false,
      ]),
    ).toEqual([
      ["/v", false],
      ["/x", true],
    ]);
    const [shared] = plan({ VolumesFrom: ["other:ro"] });
    expect(shared).toMatchObject({ source: "theirs", rw: false });
    expect(shared?.anonymous).toBeUndefined();
  });

  const bad: [HostConfig, string][] = [
    [{ Binds: ["/a:/b:wx"] }, "invalid mode: wx"],
    [
      { Binds: ["/a:b"] },
      `invalid volume specification: '/a:b': invalid mount config for type "bind": invalid mount path: 'b' mount path must be absolute`,
    ],
    [
      { Binds: ["/a:/"] },
      `invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'`,
    ],
    [{ Binds: ["a:b:c:d"] }, "invalid volume specification: 'a:b:c:d'"],
    [{ Binds: ["/foo:ro"] }, "invalid volume specification: '/foo:ro'"],
    [{ Binds: ["b@d:/x"] }, 'create b@d: "b@d" includes invalid characters for a local volume name'],
    [{ Binds: ["b:/x"] }, "volume name is too short, names should be at least two alphanumeric characters"],
    [{ Binds: ["/a:/c", "/b:/c"] }, "Duplicate mount point: /c"],
    [
      { Mounts: [{ Type: "bind", Source: "/no/such", Target: "/c" }] },
      'invalid mount config for type "bind": bind source path does not exist: /no/such',
    ],
    [{ Mounts: [{ Type: "bind", Target: "/c" }] }, 'invalid mount config for type "bind": field Source must not be empty'],
    [{ Mounts: [{ Type: "volume", Source: "x" }] }, 'invalid mount config for type "volume": field Target must not be empty'],
    [{ Mounts: [{ Type: "tape" as "bind", Target: "/c" }] }, 'invalid mount config for type "tape": mount type unknown'],
    [
      { Mounts: [{ Type: "tmpfs", Source: "x", Target: "/c" }] },
      'invalid mount config for type "tmpfs": field Source must not be specified',
    ],
    [{ VolumesFrom: ["x:rx"] }, "invalid mode: rx"],
  ];
  for (const [host, text] of bad) test(text, () => expect(() => plan(host)).toThrow(text));
});

describe("capabilities and devices", () => {
  const all = new Set(capabilitiesOf({ add: ["ALL"], drop: [], privileged: false }).list);

  test("added, dropped, all, none", () => {
    const list = (add: string[], drop: string[]): string[] => capabilitiesOf({ add, drop, privileged: false, grantable: all }).list;
    expect(list([], []).toSorted()).toEqual(DEFAULT_CAPABILITIES.filter((name) => all.has(name)).toSorted());
    expect(list([], ["ALL"])).toEqual([]);
    expect(list(["net_bind_service"], ["all"])).toEqual(["CAP_NET_BIND_SERVICE"]);
    expect(list(["ALL"], ["CAP_CHOWN"])).not.toContain("CAP_CHOWN");
    expect(() => list(["FLY"], [])).toThrow('invalid CapAdd: unknown capability: "CAP_FLY"');
  });

  test("one that the machine lacks is named", () => {
    expect(capabilitiesOf({ add: ["SYS_RESOURCE"], drop: ["ALL"], privileged: false, grantable: new Set(["CAP_CHOWN"]) })).toEqual({
      list: [],
      missing: ["CAP_SYS_RESOURCE"],
    });
  });

  test("device rules", () => {
    expect(parseRule("a *:* rwm")).toEqual({ allow: true, type: "a", access: "rwm" });
    expect(() => parseRule("c 1:2 x")).toThrow("invalid device cgroup rule format: 'c 1:2 x'");
  });
});
