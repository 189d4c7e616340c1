/**
 * `bun bench/throughput.ts [--seconds 2] [--rounds 1] [--write]`: how fast packets go, ours against Debian's dockerd in the same run, as root: iperf3 between two
 * containers, out of one and into a published port, from another network namespace that stands for another host, and from the host's own loopback.
 * `--write` puts the table into `docs/bench/network.md`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { Daemon, LIGHTER } from "../tests/harness/daemon.ts";
import { until } from "../tests/harness/until.ts";
import { unpackedPackage } from "../tools/debian.ts";
import { dockerClient } from "../tools/programs.ts";
import { must, run } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { startDockerd } from "./peer.ts";

const PRIVATE = ["--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
/** The packages that iperf3 of Debian 12 stands on beside the C library. */
const PACKAGES = ["iperf3", "libiperf0", "libsctp1", "libssl3"];
const NETWORK = "bench";

const { values: flags } = parseArgs({
  options: { seconds: { type: "string", default: "2" }, rounds: { type: "string", default: "1" }, write: { type: "boolean" } },
});

if (process.env["LIGHTER_LAB"] === undefined) {
  for (const name of PACKAGES) await unpackedPackage("bookworm", name);
  const child = Bun.spawn(["unshare", ...PRIVATE, process.execPath, import.meta.path, ...process.argv.slice(2)], {
    env: { ...process.env, LIGHTER_LAB: "1" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  process.exit(await child.exited);
}

/** An engine with a server that listens, and a wire from its host to another one. */
interface Side {
  name: string;
  docker: (...words: string[]) => Promise<string>;
  /** The pid of a process in the namespace of its host. */
  pid: number;
  /** Addresses of its host and of the other one. */
  host: string;
  far: string;
}

/** Where iperf3 and its libraries lie, copied together so that one mount takes them into a container. */
async function makeTools(folder: string): Promise<void> {
  await must(["mkdir", "-p", folder]);
  for (const name of PACKAGES) {
    const root = await unpackedPackage("bookworm", name);
    const libraries = [...new Bun.Glob("usr/lib/*/lib*.so*").scanSync({ cwd: root, absolute: true, onlyFiles: false })];
    const program = join(root, "usr/bin/iperf3");
    for (const file of [...libraries, ...((await Bun.file(program).exists()) ? [program] : [])]) await must(["cp", "-P", file, folder]);
  }
}

const iperf = (folder: string): string[] => ["env", `LD_LIBRARY_PATH=${folder}`, `${folder}/iperf3`];

/** Gigabits a second that arrived. */
async function measured(command: readonly string[]): Promise<number> {
  const { code, stdout, stderr } = await run(command);
  const report = JSON.parse(stdout === "" ? "{}" : stdout) as { error?: string; end?: { sum_received?: { bits_per_second: number } } };
  const bits = report.end?.sum_received?.bits_per_second;
  if (code !== 0 || bits === undefined) throw new Error(`${command.join(" ")}: ${report.error ?? stderr}`);
  return bits / 1e9;
}

/** Lays a wire from the namespace of a process to this one's second host, and gives both ends addresses. */
async function wire(side: Pick<Side, "pid" | "host" | "far">, farPid: number, index: number): Promise<void> {
  const inHost = ["nsenter", "-n", "-t", String(side.pid)];
  const inFar = ["nsenter", "-n", "-t", String(farPid)];
  await must(["ip", "link", "add", `o${index}`, "type", "veth", "peer", "name", `f${index}`]);
  await must(["ip", "link", "set", `f${index}`, "netns", String(farPid)]);
  if (side.pid !== process.pid) await must(["ip", "link", "set", `o${index}`, "netns", String(side.pid)]);
  await must([...inHost, "sh", "-c", `ip addr add ${side.host}/24 dev o${index}; ip link set o${index} up`]);
  await must([...inFar, "sh", "-c", `ip addr add ${side.far}/24 dev f${index}; ip link set f${index} up`]);
}

async function start(side: Side, tools: string): Promise<void> {
  await side.docker("load", "-q", "-i", (await testImage("debian")).archive);
  await side.docker("network", "create", NETWORK);
  const common = ["-d", "--network", NETWORK, "-v", `${tools}:/iperf:ro`];
  await side.docker("run", ...common, "--name", "server", "-p", "5201:5201", "debian", ...iperf("/iperf"), "-s");
  await side.docker("run", ...common, "--name", "client", "debian", "sleep", "600");
  const ready = ["exec", "client", ...iperf("/iperf"), "-c", "server", "-n", "1K"];
  await until("the server listens", async () => (await side.docker(...ready)) !== "");
}

const folder = await mkdtemp(join(tmpdir(), "lighter-throughput-"));
const tools = join(folder, "iperf");
await makeTools(tools);
await must(["sh", "-c", "ip link set lo up; mount --make-rprivate /"]);
const far = Bun.spawn(["unshare", "--net", "sleep", "600"]);
await until(
  "the other host is there",
  async () => (await must(["readlink", `/proc/${far.pid}/ns/net`])) !== (await must(["readlink", "/proc/self/ns/net"])),
);
await must(["nsenter", "-n", "-t", String(far.pid), "ip", "link", "set", "lo", "up"]);
const client = await dockerClient("bookworm");
const daemon = new Daemon(join(folder, "lighter"));
await daemon.start();
const peer = await startDockerd(join(folder, "dockerd"));
const dockerOf =
  (program: string, host: string): Side["docker"] =>
  async (...words) =>
    await must([program, ...words], { env: { DOCKER_HOST: host, HOME: folder } });
const namespaceOf = async (pid: number): Promise<number> =>
  Number((await run(["pgrep", "-P", String(pid), "dockerd"])).stdout.trim() || pid);
const sides: Side[] = [
  {
    name: "dockerd 20.10",
    docker: dockerOf(client, peer.host),
    pid: await namespaceOf(peer.pid ?? 0),
    host: "198.51.100.1",
    far: "198.51.100.2",
  },
  { name: "lighter", docker: dockerOf(LIGHTER, `unix://${daemon.socket}`), pid: process.pid, host: "203.0.113.1", far: "203.0.113.2" },
];
const rows: { what: string; figures: number[] }[] = [];
try {
  for (const [index, side] of sides.entries()) {
    await wire(side, far.pid, index);
    await start(side, tools);
  }
  const server = Bun.spawn(["nsenter", "-n", "-t", String(far.pid), ...iperf(tools), "-s"], { stdout: "ignore" });
  const length = ["-t", flags.seconds, "-J"];
  const inFar = (...command: string[]): string[] => ["nsenter", "-n", "-t", String(far.pid), ...command];
  const inHost = ({ pid }: Side, ...command: string[]): string[] => ["nsenter", "-n", "-t", String(pid), ...command];
  const exec = async (side: Side, target: string): Promise<number> => {
    const said = await side.docker("exec", "client", ...iperf("/iperf"), "-c", target, ...length);
    return (JSON.parse(said) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received.bits_per_second / 1e9;
  };
  const cases: [string, (side: Side) => Promise<number>][] = [
    ["between two containers of a network", (side) => exec(side, "server")],
    ["from a container to another host", (side) => exec(side, side.far)],
    ["from another host into a published port", (side) => measured(inFar(...iperf(tools), "-c", side.host, ...length))],
    ["from the host's 127.0.0.1 into a published port", (side) => measured(inHost(side, ...iperf(tools), "-c", "127.0.0.1", ...length))],
  ];
  for (const [what, act] of cases) {
    const best = sides.map(() => 0);
    for (let round = 0; round < Number(flags.rounds); round++)
      for (const [index, side] of sides.entries()) best[index] = Math.max(best[index] ?? 0, await act(side));
    rows.push({ what, figures: best });
    console.log(what, best.map((value, index) => `${sides[index]?.name} ${value.toFixed(1)} Gbit/s`).join(", "));
  }
  server.kill();
  for (const side of sides) await side.docker("rm", "-f", "server", "client");
} finally {
  far.kill();
  await peer[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
}

const page = [
  "# Throughput of networks\n",
  `\`bun bench/throughput.ts\`, iperf3 of Debian 12, one TCP connection, ${flags.seconds} s each, the better of ${flags.rounds}; both engines in the same run, each on a host of its own (a network`,
  "namespace), the other host behind a veth. Absolute figures are this machine's; the last column is what counts.\n",
  `| what | ${sides.map(({ name }) => name).join(" | ")} | ratio |`,
  "|---|---:|---:|---:|",
  ...rows.map(
    ({ what, figures: [theirs = NaN, ours = NaN] }) =>
      `| ${what} | ${theirs.toFixed(1)} Gbit/s | ${ours.toFixed(1)} Gbit/s | **${(ours / theirs).toFixed(2)}x** |`,
  ),
  "",
].join("\n");
if (flags.write === true) await Bun.write(join(dirname(import.meta.dir), "docs/bench/network.md"), page);
process.exit(0);
