/** What containers use: the API, `stats` of three clients, `system df` and `system prune`; checked against the kernel's own numbers. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import type { ContainerInspectResponse, ContainerStatsResponse } from "../src/wire/engine-api.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { freePort } from "./harness/ports.ts";
import { Terminal } from "./harness/terminal.ts";
import { until } from "./harness/until.ts";

/** Processors that the busy container may use. */
const QUOTA = 0.3;

const MIB = 1 << 20;
const HELD = 40 * MIB;
const SENT = 1000 << 10;
const WRITTEN = 8 * MIB;

type Networks = Record<string, { rx_bytes: number; tx_bytes: number; tx_packets: number }>;

let ground: Ground;
let received = 0;

beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  const { lighter } = ground;
  await lighter.must("run", "-d", "--name", "busy", "--cpus", String(QUOTA), "busybox", "sh", "-c", "while :; do :; done");
  const hold = `dd if=/dev/zero of=/dev/shm/held bs=1M count=${HELD / MIB}; echo held; exec sleep 600`;
  await lighter.must("run", "-d", "--name", "held", "-m", "96m", "--shm-size", "64m", "--pids-limit", "50", "busybox", "sh", "-c", hold);
  await lighter.must("create", "--name", "still", "busybox", "true");
  await until("the memory is held", async () => (await lighter.run(["logs", "held"])).stdout.includes("held"));
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

async function statsOf(name: string, query = "stream=false"): Promise<ContainerStatsResponse> {
  return await ground.daemon.json<ContainerStatsResponse>("GET", `/containers/${name}/stats?${query}`);
}

async function pidOf(name: string): Promise<number> {
  return (await ground.daemon.json<ContainerInspectResponse>("GET", `/containers/${name}/json`)).State?.Pid ?? 0;
}

/** Processor time of a container in nanoseconds, from the kernel itself. */
async function kernelCpu(name: string): Promise<number> {
  const lines = readFileSync(`/proc/${await pidOf(name)}/cgroup`, "utf8");
  const v1 = /^\d+:(?:[\w,]*,)?cpuacct(?:,[\w,]*)?:(.*)$/m.exec(lines)?.[1];
  if (v1 !== undefined) return Number(readFileSync(`/sys/fs/cgroup/cpuacct${v1}/cpuacct.usage`, "utf8"));
  const v2 = /^0::(.*)$/m.exec(lines)?.[1] ?? "";
  return Number(/usage_usec (\d+)/.exec(readFileSync(`/sys/fs/cgroup${v2}/cpu.stat`, "utf8"))?.[1]) * 1000;
}

test("processor time is the kernel's, and the first answer has something to compare it with", async () => {
  const before = await kernelCpu("busy");
  const { cpu_stats: cpu, precpu_stats: precpu, read, preread, name } = await statsOf("busy");
  const after = await kernelCpu("busy");
  const total = cpu?.cpu_usage?.total_usage ?? 0;
  expect(total).toBeGreaterThanOrEqual(before);
  expect(total).toBeLessThanOrEqual(after);
  expect(name).toBe("/busy");
  const used = total - (precpu?.cpu_usage?.total_usage ?? 0);
  const passed = (cpu?.system_cpu_usage ?? 0) - (precpu?.system_cpu_usage ?? 0);
  const percent = (used / passed) * (cpu?.online_cpus ?? 0) * 100;
  // The span of a first answer may be short, and a quota that was saved up may be used in it at once.
  expect(percent).toBeGreaterThan(1);
  expect(percent).toBeLessThan(101);
  const seconds = (Date.parse(read ?? "") - Date.parse(preread ?? "")) / 1000;
  expect(Math.abs(passed / 1e9 / (cpu?.online_cpus ?? 1) - seconds)).toBeLessThan(0.2 + seconds / 5);
  await Bun.sleep(2000);
  const later = await statsOf("busy");
  const share = (later.cpu_stats?.cpu_usage?.total_usage ?? 0) - total;
  const span = (Date.parse(later.read ?? "") - Date.parse(read ?? "")) * 1e6;
  expect(share / span).toBeGreaterThan(0.01);
  expect(share / span).toBeLessThan(QUOTA * 1.3);
  await until("it has had to wait", async () => ((await statsOf("busy")).cpu_stats?.throttling_data?.throttled_periods ?? 0) > 0);
});

test("memory, its limit, and processes", async () => {
  const { memory_stats: memory, pids_stats: pids } = await statsOf("held");
  expect(memory?.limit).toBe(96 * MIB);
  const cache = memory?.stats?.["total_inactive_file"] ?? memory?.stats?.["inactive_file"] ?? 0;
  const used = (memory?.usage ?? 0) - cache;
  expect(used).toBeGreaterThanOrEqual(HELD);
  expect(used).toBeLessThan(HELD + 8 * MIB);
  expect(pids).toEqual({ current: 1, limit: 50 });
});

test("bytes on the network, by interface", async () => {
  const port = freePort();
  const listener = Bun.listen({ hostname: "0.0.0.0", port, socket: { data: (_, data) => void (received += data.length) } });
  const route = "$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')";
  const send = `dd if=/dev/zero bs=1k count=1000 | nc ${route} ${port}; exec sleep 600`;
  await ground.lighter.must("run", "-d", "--name", "sender", "busybox", "sh", "-c", send);
  await until("all has come", () => received === SENT);
  listener.stop(true);
  const networks = (await statsOf("sender")).networks as Networks;
  expect(Object.keys(networks)).toEqual(["eth0"]);
  expect(networks["eth0"]?.tx_bytes).toBeGreaterThan(SENT);
  expect(networks["eth0"]?.tx_bytes).toBeLessThan(SENT * 1.2);
  expect(networks["eth0"]?.tx_packets).toBeGreaterThan(0);
  await ground.lighter.must("run", "-d", "--name", "sharer", "--network", "container:sender", "busybox", "sleep", "600");
  expect(Object.keys((await statsOf("sharer")).networks as Networks)).toEqual(["eth0"]);
  for (const network of ["host", "none"]) {
    const name = ground.name();
    await ground.lighter.must("run", "-d", "--name", name, "--network", network, "busybox", "sleep", "600");
    expect((await statsOf(name)).networks).toBeUndefined();
    await ground.lighter.must("rm", "-f", name);
  }
  await ground.lighter.must("rm", "-f", "sharer", "sender");
});

/** The block device that daemons' files are on; undefined where there is none (tmpfs). */
function blockDevice(): { path: string; numbers: string } | undefined {
  const { dev } = statSync(tmpdir());
  const numbers = `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`;
  if (!existsSync(`/sys/dev/block/${numbers}/uevent`)) return undefined;
  const name = /DEVNAME=(.*)/.exec(readFileSync(`/sys/dev/block/${numbers}/uevent`, "utf8"))?.[1];
  return name !== undefined && existsSync(`/dev/${name}`) ? { path: `/dev/${name}`, numbers } : undefined;
}

const device = blockDevice();

test.if(device !== undefined)("bytes on disk, by device", async () => {
  if (device === undefined) return;
  const write = `dd if=/dev/zero of=/data/f bs=1M count=${WRITTEN / MIB} oflag=direct; echo written; exec sleep 600`;
  // Kernels since 6.10 count on cgroup v1 only once a limit was set.
  const limit = ["--device-write-bps", `${device.path}:1gb`];
  await ground.lighter.must("run", "-d", "--name", "writer", "-v", "/data", ...limit, "busybox", "sh", "-c", write);
  await until("it is written", async () => (await ground.lighter.run(["logs", "writer"])).stdout.includes("written"));
  const entries = (await statsOf("writer")).blkio_stats?.io_service_bytes_recursive ?? [];
  const [major, minor] = device.numbers.split(":").map(Number);
  const written = entries.find((one) => one?.major === major && one?.minor === minor && one?.op?.toLowerCase() === "write")?.value ?? 0;
  expect(written).toBeGreaterThanOrEqual(WRITTEN);
  expect(written).toBeLessThan(WRITTEN * 1.5);
  await ground.lighter.must("rm", "-fv", "writer");
});

test("a container that does not run has zeros; what is not there or cannot be is refused", async () => {
  const { read, preread, cpu_stats, memory_stats, pids_stats } = await statsOf("still");
  expect({ read, preread, memory_stats, pids_stats, total: cpu_stats?.cpu_usage?.total_usage }).toEqual({
    read: "0001-01-01T00:00:00Z",
    preread: "0001-01-01T00:00:00Z",
    memory_stats: {},
    pids_stats: {},
    total: 0,
  });
  expect(await ground.daemon.failure("GET", "/containers/nobody/stats")).toEqual({ status: 404, message: "No such container: nobody" });
  expect(await ground.daemon.failure("GET", "/containers/busy/stats?one-shot=1")).toEqual({
    status: 400,
    message: "cannot have stream=true and one-shot=true",
  });
  const alone = await statsOf("busy", "stream=false&one-shot=true");
  expect(alone.preread).toBe("0001-01-01T00:00:00Z");
  expect(alone.precpu_stats?.cpu_usage?.total_usage).toBe(0);
});

test("a stream goes on over stop and start, and ends when the container is removed", async () => {
  const name = ground.name();
  await ground.lighter.must("run", "-d", "--name", name, "busybox", "sleep", "600");
  const response = await ground.daemon.api("GET", `/containers/${name}/stats`);
  expect(response.headers.get("content-type")).toBe("application/json");
  const answers: ContainerStatsResponse[] = [];
  const reading = (async () => {
    let text = "";
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += piece;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) answers.push(JSON.parse(line) as ContainerStatsResponse);
    }
  })();
  await until("there are two answers", () => answers.length >= 2);
  expect(answers[1]?.preread).toBe(answers[0]?.read ?? "");
  expect(answers[1]?.precpu_stats).toEqual(answers[0]?.cpu_stats);
  await ground.lighter.must("stop", "-t", "0", name);
  await until("there are zeros", () => answers.at(-1)?.read === "0001-01-01T00:00:00Z");
  await ground.lighter.must("start", name);
  await until("there are numbers again", () => (answers.at(-1)?.memory_stats?.usage ?? 0) > 0);
  await ground.lighter.must("rm", "-f", name);
  await reading;
});

test("all of them in one call", async () => {
  const names = async (query: string): Promise<(string | null | undefined)[]> => {
    const answers = (await (await ground.daemon.api("GET", `/lighter/stats${query}`)).json()) as ContainerStatsResponse[];
    for (const { name, memory_stats } of answers) expect((memory_stats?.usage ?? 0) > 0).toBe(name !== "/still");
    return answers.map(({ name }) => name);
  };
  expect(await names("")).toEqual(["/held", "/busy"]);
  expect(await names("?all=1")).toEqual(["/still", "/held", "/busy"]);
  expect(await names("?container=busy&container=still")).toEqual(["/busy", "/still"]);
  expect((await ground.daemon.api("GET", "/lighter/stats?container=nobody")).status).toBe(404);
});

const HEAD = /^CONTAINER ID {3}NAME +CPU % +MEM USAGE \/ LIMIT +MEM % +NET I\/O +BLOCK I\/O +PIDS$/;

for (const name of CLIENTS) {
  test(`${name}: stats --no-stream`, async () => {
    const client = ground.client(name);
    const lines = (await client.must("stats", "--no-stream")).split("\n").map((line) => line.trimEnd());
    expect(lines[0]).toMatch(HEAD);
    expect(lines.length).toBe(3);
    const held = lines.find((line) => line.includes(" held "));
    expect(held).toMatch(
      /^[0-9a-f]{12} +held +\d+\.\d\d% +4\d(\.\d+)?MiB \/ 96MiB +4\d\.\d\d% +[\d.]+k?B \/ [\d.]+k?B +[\d.]+[kM]?B \/ [\d.]+[kM]?B +1$/,
    );
    const busy = await client.must("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.Container}}", "busy");
    const [, percent = ""] = /^busy (\d+\.\d\d)% busy$/.exec(busy) ?? [];
    expect(Number(percent)).toBeGreaterThan(1);
    expect(Number(percent)).toBeLessThan(45);
    expect(await client.must("container", "stats", "--no-stream", "-a", "--format", "{{.Name}}:{{.PIDs}}")).toContain("still:0");
    const { code, stderr } = await client.run(["stats", "--no-stream", "busy", "nobody"]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("No such container: nobody") as string });
  });

  test(`${name}: system df adds up`, async () => {
    const client = ground.client(name);
    const rows = (await client.must("system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Reclaimable}}")).split("\n");
    expect(rows.map((row) => row.split("|").slice(0, 3).join(" "))).toEqual([
      "Images 1 1",
      "Containers 3 2",
      "Local Volumes 0 0",
      "Build Cache 0 0",
    ]);
    for (const row of rows) expect(Number(/\((-?\d+)%\)/.exec(row)?.[1] ?? 0)).toBeWithin(0, 101);
    const verbose = await client.must("system", "df", "-v");
    expect(verbose).toMatch(/busybox +latest +[0-9a-f]{12} .* 3$/m);
    expect(verbose).toMatch(/^[0-9a-f]{12} +busybox +"true" +0 .* still$/m);
  });
}

test("lighter stats on a terminal: bars, drawn in place, with containers that come and go", async () => {
  const { lighter } = ground;
  await using terminal = await Terminal.open(`env LC_ALL=C.UTF-8 TERM=xterm ${lighter.line("stats")}`, { columns: 140 });
  await terminal.shows(/held +\d+\.\d\d% .*MiB \/ 96MiB +4\d\.\d\d% ███▍/);
  const name = ground.name();
  await lighter.must("run", "-d", "--name", name, "busybox", "sleep", "600");
  await terminal.shows(new RegExp(`^CONTAINER ID[^]*${name} [^]*held`));
  await lighter.must("rm", "-f", name);
  await until("it has gone from the screen", async () => !(await terminal.screen()).includes(name));
  expect((await terminal.screen()).match(/CONTAINER ID/g)?.length).toBe(1);
});

test("lighter stats without bars: NO_COLOR, and where there is no terminal", async () => {
  const { lighter } = ground;
  await using terminal = await Terminal.open(`env NO_COLOR=1 LC_ALL=C.UTF-8 TERM=xterm ${lighter.line("stats")}`, { columns: 140 });
  expect(await terminal.shows(/held .*MiB \/ 96MiB/)).not.toContain("█");
  const child = lighter.spawn(["stats", "busy"]);
  let text = "";
  void (async () => {
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) text += piece;
  })();
  await until("there are two tables", () => (text.match(/CONTAINER ID/g)?.length ?? 0) >= 2);
  child.kill();
  await child.exited;
  expect(text).not.toContain("\u001b");
});

test("lighter stats NAME ends when the container is gone", async () => {
  const name = ground.name();
  await ground.lighter.must("run", "-d", "--name", name, "busybox", "sleep", "600");
  const child = ground.lighter.spawn(["stats", name]);
  let output = "";
  const reading = (async () => {
    for await (const piece of child.stdout) output += Buffer.from(piece).toString();
  })();
  await until("it is shown", () => output.includes(name));
  await ground.lighter.must("rm", "-f", name);
  expect(await child.exited).toBe(0);
  await reading;
});

test("system prune asks in Docker's words, and removes what nothing uses", async () => {
  const { lighter } = ground;
  const stopped = ground.name();
  await lighter.must("create", "--name", stopped, "--label", "gone=1", "-v", "/data", "busybox", "true");
  await lighter.must("network", "create", "--label", "gone=1", "unused");
  const refused = await lighter.run(["system", "prune", "-a", "--volumes", "--filter", "label=gone=1"], { stdin: "n\n" });
  expect(refused).toMatchObject({ code: 0, stderr: "" });
  expect(refused.stdout).toBe(
    [
      "WARNING! This will remove:",
      "  - all stopped containers",
      "  - all networks not used by at least one container",
      "  - all anonymous volumes not used by at least one container",
      "  - all images without at least one container associated to them",
      "  - all build cache",
      "",
      "  Items to be pruned will be filtered with:",
      "  - label=gone=1",
      "",
      "Are you sure you want to continue? [y/N] ",
    ].join("\n"),
  );
  const pruned = await lighter.run(["system", "prune", "--filter", "label=gone=1"], { stdin: "y\n" });
  expect(pruned.stdout).toMatch(/Deleted Containers:\n[0-9a-f]{64}\n\nDeleted Networks:\nunused\n\nTotal reclaimed space: /);
  expect(await lighter.must("ps", "-a", "--format", "{{.Names}}")).toBe("still\nheld\nbusy");
  expect(await lighter.must("system", "prune", "-f", "--volumes", "--filter", "label!=keep")).toMatch(/Deleted Volumes:\n[0-9a-f]{64}\n/);
  const until = await lighter.run(["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
  expect(until).toMatchObject({ code: 1, stderr: 'ERROR: The "until" filter is not supported with "--volumes"\n' });
});
