/** `update`: limits as docker's, and ports, mounts, names, labels and environment of a container that exists. Deadline: 180 s. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { until } from "./harness/until.ts";

const MB = 1 << 20;
const SEED = Number(process.env["LIGHTER_TEST_SEED"] ?? Date.now() % 100_000);
const UPDATES = 6;

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await mkdir(ground.path("shared"));
  await Bun.write(ground.path("shared/file"), "of the host\n");
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

interface Inspected {
  Id: string;
  State: { Pid: number; Status: string; Health?: { Status: string } };
  Config: { Env: string[]; Labels: Record<string, string>; Hostname: string };
  HostConfig: Record<string, unknown> & {
    Memory: number;
    Binds: string[] | null;
    LogConfig: { Config: object };
    PortBindings: Record<string, unknown[]>;
  };
  Mounts: { Type: string; Destination: string }[];
  PendingChanges?: string[];
}

const inspect = async (name: string): Promise<Inspected> => await ground.daemon.json<Inspected>("GET", `/containers/${name}/json`);
const update = async (name: string, body: object): Promise<{ Warnings: string[] | null; Pending?: string[] }> =>
  await ground.daemon.json("POST", `/containers/${name}/update`, { body });

async function run(...flags: string[]): Promise<string> {
  const name = ground.name();
  await ground.lighter.must("run", "-d", "--name", name, "--stop-timeout", "0", ...flags, "busybox", "sleep", "600");
  return name;
}

/** A number of the kernel for a container: the file of v1's controller, or that of v2. */
async function kernel(name: string, controller: string, v1: string, v2: string): Promise<string> {
  const { pid } = { pid: (await inspect(name)).State.Pid };
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const own = lines.find(([, names = ""]) => names.split(",").includes(controller));
  const [root, path, file] =
    own === undefined ? ["/sys/fs/cgroup", lines.find(([id]) => id === "0")?.[2], v2] : [`/sys/fs/cgroup/${own[1]}`, own[2], v1];
  const place = existsSync(root) ? root : `/sys/fs/cgroup/${controller}`;
  return readFileSync(`${place}${path}/${file}`, "utf8").trim();
}

const memoryOf = (name: string): Promise<string> => kernel(name, "memory", "memory.limit_in_bytes", "memory.max");
const pidsOf = (name: string): Promise<string> => kernel(name, "pids", "pids.max", "pids.max");
const sharesOf = (name: string): Promise<string> => kernel(name, "cpu", "cpu.shares", "cpu.weight");

async function serves(port: number): Promise<boolean> {
  try {
    return (await (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1000) })).text()) === "served\n";
  } catch {
    return false;
  }
}

describe("limits", () => {
  for (const client of CLIENTS) {
    test(`${client}: at once for what runs, and kept by the next start`, async () => {
      const docker = ground.client(client);
      const name = await run("--memory", "64m");
      const stopped = ground.name();
      await docker.must("create", "--name", stopped, "busybox", "sleep", "600");
      const flags = ["--memory", "32m", "--memory-swap", "96m", "--pids-limit", "50", "--cpu-shares", "512", "--restart", "on-failure:3"];
      expect(await docker.must("update", ...flags, name, stopped)).toBe(`${name}\n${stopped}`);
      expect([await memoryOf(name), await pidsOf(name)]).toEqual([String(32 * MB), "50"]);
      await docker.must("start", stopped);
      await docker.must("restart", "-t", "0", name);
      for (const one of [name, stopped]) {
        expect([await memoryOf(one), await pidsOf(one)]).toEqual([String(32 * MB), "50"]);
        expect((await inspect(one)).HostConfig).toMatchObject({
          Memory: 32 * MB,
          MemorySwap: 96 * MB,
          PidsLimit: 50,
          CpuShares: 512,
          RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 },
        });
      }
      await docker.must("update", "--pids-limit", "-1", "--restart", "no", name);
      expect(await pidsOf(name)).toBe("max");
      const silent = await docker.run(["update", name]);
      expect([silent.code, silent.stderr.toLowerCase()]).toEqual([
        1,
        expect.stringContaining("you must provide one or more flags when using this command"),
      ]);
      const several = await docker.run(["update", "--cpu-shares", "256", "nobody", name]);
      expect([several.code, several.stdout.trim()]).toEqual([1, name]);
      expect(several.stderr).toContain("No such container: nobody");
      await docker.must("rm", "-f", name, stopped);
    });
  }

  test("quota and processors", async () => {
    const name = await run();
    expect(await update(name, { NanoCpus: 5e8, CpusetCpus: "0" })).toEqual({ Warnings: null });
    expect(await kernel(name, "cpu", "cpu.cfs_quota_us", "cpu.max")).toMatch(/^50000\b/);
    expect(await kernel(name, "cpuset", "cpuset.cpus", "cpuset.cpus")).toBe("0");
    const other = await run("--cpu-quota", "50000");
    await update(other, { CpuQuota: -1 });
    expect(await kernel(other, "cpu", "cpu.cfs_quota_us", "cpu.max")).toMatch(/^(?:-1|max\b)/);
    await ground.lighter.must("rm", "-f", name, other);
  });

  test("a paused one at once; one that waits for a restart, and one that is stopped, from the next start on", async () => {
    const name = await run();
    await ground.lighter.must("pause", name);
    await update(name, { PidsLimit: 40 });
    expect([await pidsOf(name), (await inspect(name)).State.Status]).toEqual(["40", "paused"]);
    await ground.lighter.must("rm", "-f", name);
    const again = ground.name();
    await ground.lighter.must("run", "-d", "--name", again, "--restart", "always", "busybox", "sh", "-c", "sleep 0.1; exit 1");
    await until("it waits", async () => (await inspect(again)).State.Status === "restarting");
    expect(await update(again, { PidsLimit: 30, RestartPolicy: { Name: "no" } })).toEqual({ Warnings: null });
    await until("it rests", async () => (await inspect(again)).State.Status === "exited");
    await ground.lighter.must("rm", again);
  });

  test.each<[what: string, flags: string[], body: object, status: number, text: string]>([
    [
      "memory above the swap limit",
      ["--memory", "32m"],
      { Memory: 128 * MB },
      409,
      "Cannot update container ID: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
    ],
    ["too little memory", [], { Memory: 1000 }, 400, "Minimum memory limit allowed is 6MB"],
    [
      "swap below memory",
      [],
      { Memory: 64 * MB, MemorySwap: 32 * MB },
      400,
      "Minimum memoryswap limit should be larger than memory limit, see usage",
    ],
    [
      "two ways to say it",
      ["--cpu-quota", "50000"],
      { NanoCpus: 5e8 },
      409,
      "Cannot update container ID: Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
    ],
    ["no such processor", [], { CpusetCpus: "0-999" }, 400, "Requested CPUs are not available - requested 0-999"],
    [
      "a policy for one that is removed",
      ["--rm"],
      { RestartPolicy: { Name: "always" } },
      409,
      "Cannot update container ID: Restart policy cannot be updated because AutoRemove is enabled for the container",
    ],
    ["no such policy", [], { RestartPolicy: { Name: "foo" } }, 400, "invalid restart policy: unknown policy 'foo'"],
    ["what the kernel refuses", ["--memory", "64m"], { MemorySwap: 32 * MB, PidsLimit: 7 }, 400, "Cannot update container ID: "],
  ])("refused: %s; nothing is changed", async (_, flags, body, status, text) => {
    const name = await run(...flags);
    const before = await inspect(name);
    const limits = [await memoryOf(name), await pidsOf(name), await sharesOf(name)];
    const failure = await ground.daemon.failure("POST", `/containers/${name}/update`, { body });
    expect([failure.status, failure.message.replace(before.Id, "ID")]).toEqual([status, expect.stringContaining(text)]);
    expect((await inspect(name)).HostConfig).toEqual(before.HostConfig);
    expect([await memoryOf(name), await pidsOf(name), await sharesOf(name)]).toEqual(limits);
    await ground.lighter.must("rm", "-f", name);
  });

  test("an event each", async () => {
    const name = await run("--label", "kept=yes");
    await update(name, { CpuShares: 300 });
    await ground.lighter.must("update", "--label", "fresh=1", name);
    const filters = encodeURIComponent(JSON.stringify({ container: [name], event: ["update"] }));
    const events = await ground.daemon.api("GET", `/events?since=1&until=${Math.floor(Date.now() / 1000) + 1}&filters=${filters}`);
    const lines = (await events.text()).trim();
    const attributes = lines
      .split("\n")
      .map((line) => (JSON.parse(line) as { Actor: { Attributes: Record<string, string> } }).Actor.Attributes);
    expect(attributes).toEqual([
      { image: "busybox", name, kept: "yes" },
      { image: "busybox", name, kept: "yes", fresh: "1" },
    ]);
    await ground.lighter.must("rm", "-f", name);
  });
});

describe("a container that exists", () => {
  test("published ports come and go while it runs, and survive restarts of it and of the daemon", async () => {
    const { lighter, daemon } = ground;
    const [first, second] = [freePort(), freePort()];
    const name = await run();
    const { Id: id } = await inspect(name);
    await lighter.must("exec", name, "sh", "-c", "mkdir /www; echo served > /www/index.html");
    await lighter.must("exec", "-d", name, "httpd", "-f", "-p", "80", "-h", "/www");
    await lighter.must("update", "-p", `${first}:80`, name);
    await until("it is open", () => serves(first));
    expect(await lighter.must("port", name)).toBe(`80/tcp -> 0.0.0.0:${first}\n80/tcp -> [::]:${first}`);
    const taken = await run();
    const refused = await lighter.run(["update", "-p", `${first}:80`, "--pids-limit", "44", "--env", "LOST=1", taken]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("port is already allocated")]);
    expect([await pidsOf(taken), (await inspect(taken)).HostConfig.PortBindings ?? {}]).toEqual(["max", {}]);
    await lighter.must("update", "--publish-rm", `${first}:80`, "-p", `127.0.0.1:${second}:80`, name);
    await until("the other is open", () => serves(second));
    expect(await serves(first)).toBe(false);
    await lighter.must("update", "-p", `${first}:80`, taken);
    await daemon.end("SIGKILL");
    await daemon.start();
    expect(await serves(second)).toBe(true);
    expect(await lighter.must("port", taken)).toBe(`80/tcp -> 0.0.0.0:${first}\n80/tcp -> [::]:${first}`);
    await lighter.must("restart", "-t", "0", name);
    await lighter.must("exec", "-d", name, "httpd", "-f", "-p", "80", "-h", "/www");
    await until("it is open again: same id, same files", () => serves(second));
    expect((await inspect(name)).Id).toBe(id);
    await lighter.must("rm", "-f", name, taken);
    Bun.listen({ hostname: "127.0.0.1", port: second, socket: { data() {} } }).stop(true);
  });

  test("labels at once, the environment and the host name from the next start on, and inspect says so", async () => {
    const { lighter } = ground;
    const name = await run("--label", "old=1", "--env", "A=1", "--env", "B=2");
    await lighter.must("exec", name, "sh", "-c", "echo kept > /file");
    const told = await lighter.run([
      "update",
      "-l",
      "new=2",
      "--label-rm",
      "old",
      "-e",
      "A=3",
      "--env-rm",
      "B",
      "--hostname",
      "other",
      name,
    ]);
    expect([told.code, told.stdout]).toEqual([0, `${name}\n`]);
    expect(told.stderr).toBe(
      `${name}: Config.Env takes effect at the next start\n${name}: Config.Hostname takes effect at the next start\n`,
    );
    expect(await lighter.must("ps", "-q", "--filter", "label=new=2", "--filter", `name=${name}`)).not.toBe("");
    const waiting = await inspect(name);
    expect(waiting.Config).toMatchObject({ Labels: { new: "2" }, Hostname: "other" });
    expect(waiting.PendingChanges).toEqual(["Config.Env", "Config.Hostname"]);
    expect(await lighter.must("exec", name, "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ; hostname")).toContain("A=1\nB=2");
    await ground.daemon.end("SIGKILL");
    await ground.daemon.start();
    expect((await inspect(name)).PendingChanges).toEqual(["Config.Env", "Config.Hostname"]);
    await lighter.must("restart", "-t", "0", name);
    const environment = await lighter.must("exec", name, "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ; hostname; cat /file");
    expect(environment).toMatch(/^A=3$/m);
    expect(environment).not.toMatch(/^B=/m);
    expect(environment).toMatch(/^other\nkept$/m);
    expect((await inspect(name)).PendingChanges).toBeUndefined();
    await lighter.must("update", "-e", "A=4", name);
    await lighter.must("update", "-e", "A=3", name);
    expect((await inspect(name)).PendingChanges).toBeUndefined();
    await lighter.must("rm", "-f", name);
  });

  test("the health check is another one at once, log options wait, and -P opens what is exposed", async () => {
    const { lighter } = ground;
    const name = await run("--expose", "81");
    const health = async (): Promise<unknown> => (await inspect(name)).State.Health?.Status;
    await lighter.must("update", "--health-cmd", "test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "2", name);
    await until("it is unhealthy", async () => (await health()) === "unhealthy");
    await lighter.must("exec", name, "touch", "/tmp/well");
    await until("it is healthy", async () => (await health()) === "healthy");
    await ground.daemon.end("SIGKILL");
    await ground.daemon.start();
    await lighter.must("exec", name, "rm", "/tmp/well");
    await until("it is unhealthy again", async () => (await health()) === "unhealthy");
    await lighter.must("update", "--no-healthcheck", name);
    expect(await health()).toBeUndefined();

    const told = await lighter.run(["update", "--log-opt", "max-size=1m", name]);
    expect([told.code, told.stderr]).toEqual([0, `${name}: HostConfig.LogConfig takes effect at the next start\n`]);
    const refused = await lighter.run(["update", "--log-opt", "max-size=much", name]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("invalid size: 'much'")]);
    expect((await inspect(name)).HostConfig.LogConfig.Config).toEqual({ "max-size": "1m" });

    await lighter.must("update", "-P", name);
    expect(await lighter.must("port", name, "81")).toMatch(/^0\.0\.0\.0:\d+/);
    await lighter.must("update", "--publish-all=false", name);
    expect(await lighter.must("port", name)).toBe("");
    await lighter.must("rm", "-f", name);
  });

  test("mounts come into the running container and leave it; one in use waits for the next start", async () => {
    const { lighter } = ground;
    const name = await run();
    const inside = async (script: string): Promise<string> => {
      const { stdout, stderr } = await lighter.run(["exec", name, "sh", "-c", script]);
      return stdout + stderr;
    };
    const volume = ground.name();
    const shared = ground.path("shared");
    await lighter.must(
      "update",
      "-v",
      `${shared}:/new/place`,
      "-v",
      `${shared}/file:/one:ro`,
      "--mount",
      "type=tmpfs,dst=/scratch,tmpfs-size=65536",
      "-v",
      `${volume}:/etc`,
      name,
    );
    expect(
      await inside("cat /new/place/file /one; echo x > /new/place/written; echo y > /one; df -k /scratch | tail -n 1; cat /etc/passwd"),
    ).toMatch(/^of the host\nof the host\n.* 64 .*\/scratch\nroot:.*Read-only file system\n$/s);
    expect(await Bun.file(`${shared}/written`).text()).toBe("x\n");
    expect((await inspect(name)).Mounts.map(({ Type, Destination }) => `${Type} ${Destination}`).toSorted()).toEqual([
      "bind /new/place",
      "bind /one",
      "tmpfs /scratch",
      "volume /etc",
    ]);
    expect((await lighter.run(["volume", "rm", volume])).stderr).toContain("volume is in use");
    await lighter.must("update", "--mount-rm", "/one", "--mount-rm", "/etc", name);
    expect(await inside("wc -c < /one; grep -c -E ' /(one|etc) ' /proc/mounts")).toBe("0\n0\n");
    await lighter.must("volume", "rm", volume);
    await lighter.must("exec", "-d", "-w", "/new/place", name, "sleep", "600");
    const busy = await lighter.run(["update", "--mount-rm", "/new/place", name]);
    expect(busy.stderr).toContain('mount "/new/place" waits for the next start: it is in use');
    expect((await inspect(name)).PendingChanges).toEqual(["Mounts./new/place"]);
    expect(await inside("cat /new/place/file")).toBe("of the host\n");
    await lighter.must("restart", "-t", "0", name);
    expect(await inside("ls /new/place; df /scratch | tail -n 1")).toMatch(/^tmpfs .*\/scratch\n$/);
    for (const [bad, why] of [
      [["-v", `${shared}:/scratch`], "Duplicate mount point: /scratch"],
      [["--mount", `type=bind,src=${shared}/none,dst=/x`], "bind source path does not exist"],
      [["-v", `${shared}:/one`], "a directory cannot be mounted on a file"],
      [["--mount-rm", "/nothing"], "nothing is mounted there"],
    ] as const)
      expect((await lighter.run(["update", ...bad, name])).stderr).toContain(why);
    const refused = ["--mount", "type=tmpfs,dst=/fine", "-v", "made-in-vain:/volume"];
    expect((await lighter.run(["update", ...refused, "-v", `${shared}:/proc/none`, name])).stderr).toContain(
      'Cannot mount at "/proc/none"',
    );
    expect((await inspect(name)).Mounts.map(({ Destination }) => Destination)).toEqual(["/scratch"]);
    expect(await lighter.must("volume", "ls", "-q")).not.toContain("made-in-vain");
    await lighter.must("rm", "-f", name);
  });

  test("names on a network are known at once, and stay through stop, connect, disconnect and rename", async () => {
    const { lighter } = ground;
    const networks = [ground.name(), ground.name()] as const;
    for (const network of networks) await lighter.must("network", "create", network);
    const name = await run("--network", networks[0]);
    const asker = await run("--network", networks[0]);
    const knows = async (alias: string): Promise<boolean> => (await lighter.run(["exec", asker, "nslookup", "-type=a", alias])).code === 0;
    await lighter.must("update", "--network-alias", "db", "--network-alias", "cache", name);
    expect([await knows("db"), await knows("cache")]).toEqual([true, true]);
    await lighter.must("update", "--network-alias-rm", "cache", name);
    expect(await knows("cache")).toBe(false);
    await lighter.must("network", "connect", networks[1], name);
    await lighter.must("network", "connect", networks[1], asker);
    await lighter.must("update", "--network", networks[1], "--network-alias", "far", name);
    expect(await knows("far")).toBe(true);
    await lighter.must("stop", name);
    await lighter.must("update", "--network", networks[1], "--network-alias", "further", name);
    const renamed = ground.name();
    await lighter.must("rename", name, renamed);
    await lighter.must("start", renamed);
    for (const alias of ["db", "far", "further", renamed]) expect(`${alias} ${await knows(alias)}`).toBe(`${alias} true`);
    await lighter.must("network", "disconnect", networks[1], renamed);
    expect([await knows("far"), await knows("db")]).toEqual([false, true]);
    expect((await lighter.run(["update", "--network", networks[1], "--network-alias", "x", renamed])).stderr).toContain(
      "is not connected to network",
    );
    expect((await lighter.run(["update", "--network", "bridge", "--network-alias", "x", renamed])).code).toBe(1);
    await lighter.must("rm", "-f", renamed, asker);
    await lighter.must("network", "rm", ...networks);
  });

  test("one that shares another's network or the machine's names is edited, too, but for what it shares", async () => {
    const { lighter } = ground;
    const peer = await run();
    const joined = await run("--network", `container:${peer}`);
    const host = await run("--network", "host", "--uts", "host");
    for (const name of [joined, host]) {
      await lighter.must("update", "-l", "a=b", "-e", "A=1", "-v", `${ground.path("shared")}:/data`, name);
      expect(await lighter.must("exec", name, "cat", "/data/file")).toBe("of the host");
      expect((await lighter.run(["update", "-p", "80:80", name])).stderr).toContain("it has no ports of its own");
      expect((await lighter.run(["update", "--hostname", "x", name])).stderr).toContain("conflicting options: hostname and the");
    }
    await lighter.must("rm", "-f", joined, host, peer);
  });

  test("docker's client reads it as ever, and its update leaves the rest alone", async () => {
    const docker = ground.client("docker 26.1");
    const name = await run("-e", "A=1");
    await ground.lighter.must("update", "-e", "A=2", "-l", "x=y", name);
    await docker.must("update", "--cpu-shares", "300", name);
    expect(await docker.must("inspect", "-f", "{{json .Config.Env}} {{json .Config.Labels}} {{.HostConfig.CpuShares}}", name)).toMatch(
      /"A=2".* \{"x":"y"\} 300$/,
    );
    expect((await inspect(name)).PendingChanges).toEqual(["Config.Env"]);
    await docker.must("rm", "-f", name);
  });
});

test(`kill -9 of the daemon during updates: each is done or undone, and inspect tells which (seed ${SEED})`, async () => {
  const { daemon, lighter } = ground;
  console.log(`seed ${SEED}`);
  let state = SEED;
  const random = (below: number): number => (state = (state * 48271) % 2147483647) % below;
  const name = await run("--memory", "64m", "--memory-swap", "-1");
  for (let round = 0; round < UPDATES; round++) {
    const [pids, place] = [100 + round, `/place-${round}`];
    const asked = daemon
      .api("POST", `/containers/${name}/update`, {
        body: {
          PidsLimit: pids,
          CpuShares: 200 + round,
          Lighter: { Mounts: { Binds: [`${ground.path("shared")}:${place}`] }, Labels: { Set: { round: String(round) } } },
        },
      })
      .then(
        (response) => response.ok,
        () => false,
      );
    await Bun.sleep(random(60));
    await daemon.end("SIGKILL");
    const acknowledged = await asked;
    await daemon.start();
    const { Config, HostConfig, Mounts } = await inspect(name);
    const done = Config.Labels["round"] === String(round);
    if (acknowledged) expect(done).toBe(true);
    expect(HostConfig["PidsLimit"] === pids).toBe(done);
    expect(Mounts.some(({ Destination }) => Destination === place)).toBe(done);
    expect(await pidsOf(name)).toBe(String(HostConfig["PidsLimit"] ?? "max"));
    expect(`${place} ${(await lighter.run(["exec", name, "test", "-e", `${place}/file`])).code}`).toBe(`${place} ${done ? 0 : 1}`);
  }
  await lighter.must("rm", "-f", name);
});
