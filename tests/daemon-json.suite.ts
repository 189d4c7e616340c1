/** A daemon.json that Docker's users have: what of it holds, what is said of the rest, `--validate`. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIGHTER } from "./harness/daemon.ts";
import { Ground } from "./harness/ground.ts";

let ground: Ground;
let folder: string;
const file = (): string => join(folder, "daemon.json");

const SETTINGS = {
  bip: "10.77.0.1/24",
  "default-gateway": "10.77.0.254",
  ipv6: true,
  "fixed-cidr-v6": "fd00:77::/64",
  "default-gateway-v6": "fd00:77::fe",
  "default-network-opts": { bridge: { "com.docker.network.driver.mtu": "1400" } },
  "host-gateway-ips": ["192.0.2.9"],
  group: "adm",
  "live-restore": false,
  "metrics-addr": "127.0.0.1:9323",
  "userns-remap": "",
  "storage-driver": "overlay2",
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lighter-daemon-json-"));
  await Bun.write(file(), JSON.stringify(SETTINGS));
  ground = await Ground.lay(["busybox"], ["--config-file", file()]);
});
afterAll(async () => {
  await ground?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test("the default bridge and new networks are as the file says", async () => {
  const docker = ground.client("docker 26.1");
  const look =
    "ip route | grep default; ip -6 route | grep default; ip -6 addr show eth0 scope global | grep -c fd00:77::; awk '$2 == \"x\"' /etc/hosts";
  const seen = await docker.must("run", "--rm", "--add-host", "x:host-gateway", "busybox", "sh", "-c", look);
  expect(seen.split("\n").map((line) => line.trim().split(/\s+/).slice(0, 3).join(" "))).toEqual([
    "default via 10.77.0.254",
    "default via fd00:77::fe",
    "1",
    "192.0.2.9 x",
  ]);
  await docker.must("run", "-d", "--name", "placed", "busybox", "sleep", "1000");
  const place = "{{.NetworkSettings.Gateway}} {{.NetworkSettings.IPv6Gateway}} {{.NetworkSettings.GlobalIPv6PrefixLen}}";
  expect(await docker.must("inspect", "-f", place, "placed")).toBe("10.77.0.254 fd00:77::fe 64");
  await docker.must("network", "create", "usual");
  await docker.must("network", "create", "-o", "com.docker.network.driver.mtu=1300", "own");
  const mtu = async (network: string): Promise<string> =>
    await docker.must("run", "--rm", "--network", network, "busybox", "cat", "/sys/class/net/eth0/mtu");
  expect([await mtu("usual"), await mtu("own")]).toEqual(["1400", "1300"]);
  expect(await docker.must("network", "inspect", "-f", '{{index .Options "com.docker.network.driver.mtu"}}', "usual")).toBe("1400");
});

test("what runs keeps its subnets when the file changes; they change at a start without containers", async () => {
  const { daemon, lighter } = ground;
  const subnets = async (): Promise<string> =>
    (await lighter.must("network", "inspect", "-f", "{{.EnableIPv6}} {{range .IPAM.Config}}{{.Subnet}} {{end}}", "bridge")).trim();
  await Bun.write(file(), JSON.stringify({ ...SETTINGS, ipv6: false }));
  await daemon.end();
  await daemon.start();
  expect(await subnets()).toBe("true 10.77.0.0/24 fd00:77::/64");
  await lighter.must("rm", "-f", "placed");
  await daemon.end();
  await daemon.start();
  expect(await subnets()).toBe("false 10.77.0.0/24");
});

test("metrics are served for Prometheus", async () => {
  await ground.lighter.must("run", "--rm", "busybox", "true");
  const answer = await fetch("http://127.0.0.1:9323/metrics");
  expect(answer.headers.get("content-type")).toContain("text/plain; version=0.0.4");
  const text = await answer.text();
  expect(text).toMatch(/^engine_daemon_container_actions_seconds_count\{action="start"\} 1$/m);
  expect(text).toMatch(/^engine_daemon_engine_info\{.*version="[^"]+"\} 1$/m);
  expect((await fetch("http://127.0.0.1:9323/containers/json")).status).toBe(404);
});

test("the log says what has no effect, and the socket has its group", async () => {
  const log = await ground.daemon.log;
  expect(log).toContain("live-restore");
  expect(log).not.toContain("userns-remap");
  const adm = /^adm:[^:]*:(\d+)/m.exec(await Bun.file("/etc/group").text())?.[1];
  expect((await stat(ground.daemon.socket)).gid).toBe(Number(adm));
});

test("--validate reads everything and starts nothing; a data root of dockerd's is refused", async () => {
  const lighter = async (...words: string[]): Promise<{ code: number; stderr: string }> => {
    const child = Bun.spawn([LIGHTER, "daemon", ...words], { stdout: "ignore", stderr: "pipe", stdin: "ignore" });
    const [code, stderr] = await Promise.all([child.exited, new Response(child.stderr).text()]);
    return { code, stderr };
  };
  const valid = await lighter("--validate", "--config-file", file(), "--selinux-enabled=false", "-s", "overlay2");
  expect([valid.code, valid.stderr.split("\n").length, valid.stderr.endsWith("\nconfiguration OK\n")]).toEqual([0, 3, true]);
  const other = join(folder, "other.json");
  await Bun.write(other, '{"authorization-plugins": ["opa"]}');
  const refused = await lighter("--validate", "--config-file", other);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('Cannot use "authorization-plugins": there are no plugins')]);
  const root = join(folder, "docker");
  await mkdir(join(root, "overlay2"), { recursive: true });
  const taken = await lighter("--config-file", "/dev/null", "--data-root", root);
  expect([taken.code, taken.stderr]).toEqual([1, expect.stringContaining('it is another engine\'s (it has "overlay2")')]);
});
