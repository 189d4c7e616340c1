/**
 * `bun bench/registry.ts [--rounds N] [--seconds N] [--only TEXT] [--source] [--write]`: how many pulls and pushes of blobs a registry serves in a second, ours against
 * Debian's docker-registry, by turns in one run, and the milliseconds of processor time that each takes: the rate of large ones is bounded by the client and
 * the disk, which share the machine. `--source` runs the sources instead of the built program. Both keep their data on one disk and write no access log;
 * docker-registry keeps descriptors in memory. `--write` puts the table into docs/bench/images.md.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LIGHTER } from "../tests/harness/daemon.ts";
import { freePort } from "../tests/harness/ports.ts";
import { until } from "../tests/harness/until.ts";
import { dockerRegistry } from "../tools/programs.ts";
import { replaceSection } from "../tools/section.ts";
import { timed } from "./measure.ts";
import { Wire } from "./wire.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "0.5" },
    only: { type: "string" },
    source: { type: "boolean" },
    write: { type: "boolean" },
  },
});
const rounds = Number(flags.rounds);
const milliseconds = Number(flags.seconds) * 1000;

interface Contestant {
  name: string;
  port: number;
  child: Bun.Subprocess;
}

interface Case {
  name: string;
  clients: number;
  /** One pull or push. */
  once: (wire: Wire) => Promise<void>;
  /** In place of `once`: many at a time; how many. */
  many?: (port: number) => Promise<number>;
  /** In place of a time: so many in all. */
  count?: number;
}

/** A blob in pieces: those that are large share all but their beginning. */
interface Fresh {
  pieces: Uint8Array[];
  digest: string;
}

/** Pulls by curl in one go, which takes bytes with less work than we would. */
const LARGE_PULLS = 96;
/** Large pushes in a round, by how many clients push at once: several of each, as what the first ones wait for is not what all wait for. */
const LARGE_PUSHES = new Map([
  [1, 24],
  [32, 128],
]);

/** Blobs that were made before they are needed, by their size. */
const stock = new Map<number, Fresh[]>();
/** What large blobs end with. */
const tail = new Uint8Array(8 << 20);
/** The table as it was told. */
const lines: string[] = [];
const folder = await mkdtemp(join(process.env["TMPDIR"] ?? tmpdir(), "lighter-bench-registry-"));
const contestants = [await startOurs(), await startPeer()];
try {
  say("| what | lighter | docker-registry | ratio | CPU, lighter | CPU, docker-registry | ratio |\n|---|---|---|---|---|---|---|");
  for (const size of [4096, 8 << 20]) {
    const pulled = await pushed(size);
    for (const clients of [1, 32]) {
      const label = size === 4096 ? "4 KiB" : "8 MiB";
      const large = size > 4096 ? (port: number): Promise<number> => pullLarge(port, pulled, clients) : undefined;
      await measure({
        name: `pull ${label}, ${clients} at once`,
        clients,
        once: (wire) => pull(wire, pulled),
        ...(large && { many: large }),
      });
      const count = size > 4096 ? LARGE_PUSHES.get(clients) : undefined;
      await measure({
        name: `push ${label}, ${clients} at once`,
        clients,
        once: (wire) => push(wire, fresh(size)),
        ...(count !== undefined && { count }),
      });
    }
  }
  if (flags.write === true) await replaceSection("docs/bench/images.md", "registry", lines.join("\n"));
} finally {
  for (const { child } of contestants) child.kill("SIGKILL");
  await Promise.all(contestants.map(({ child }) => child.exited));
  await rm(folder, { recursive: true, force: true });
}

function say(line: string): void {
  console.log(line);
  lines.push(line);
}

async function startOurs(): Promise<Contestant> {
  const port = freePort();
  const program = flags.source === true ? [process.execPath, join(import.meta.dir, "../src/main.ts")] : [LIGHTER];
  const command = [...program, "registry", "serve", "--addr", `127.0.0.1:${port}`, "--data", join(folder, "ours"), "--log-level", "error"];
  return await started("lighter", port, command);
}

async function startPeer(): Promise<Contestant> {
  const port = freePort();
  const config = {
    version: "0.1",
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "peer") }, cache: { blobdescriptor: "inmemory" }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}` },
  };
  await mkdir(folder, { recursive: true });
  await Bun.write(join(folder, "config.yml"), JSON.stringify(config));
  return await started("docker-registry", port, [await dockerRegistry(), "serve", join(folder, "config.yml")]);
}

async function started(name: string, port: number, command: string[]): Promise<Contestant> {
  const log = Bun.file(join(folder, `${name}.log`));
  const child = Bun.spawn(command, { stdin: "ignore", stdout: log, stderr: log });
  await until(`${name} answers`, async () => (await fetch(`http://127.0.0.1:${port}/v2/`)).ok);
  return { name, port, child };
}

/** A blob that both have. */
async function pushed(size: number): Promise<string> {
  const blob = fresh(size);
  for (const { port } of contestants) {
    const wire = await Wire.open(port);
    await push(wire, blob);
    wire.close();
  }
  return blob.digest;
}

async function pull(wire: Wire, digest: string): Promise<void> {
  const { status } = await wire.ask(`GET /v2/bench/blob/blobs/${digest} HTTP/1.1`);
  if (status !== 200) throw new Error(`pull: ${status}`);
}

/** Pulls a large blob many times by curl, so many at once: by as many curls as there are cores, as one has a single thread, which would be what is measured. */
async function pullLarge(port: number, digest: string, clients: number): Promise<number> {
  const programs = Math.min(clients, availableParallelism());
  const each = Math.ceil(LARGE_PULLS / programs);
  const url = `http://127.0.0.1:${port}/v2/bench/blob/blobs/${digest}?n=[1-${each}]`;
  const parallel = clients === 1 ? [] : ["--parallel", "--parallel-max", String(Math.ceil(clients / programs))];
  await Promise.all(Array.from({ length: programs }, () => timed(["curl", "-sS", "--fail", ...parallel, "-o", "/dev/null", url])));
  return each * programs;
}

async function push(wire: Wire, { pieces, digest }: Fresh): Promise<void> {
  const begun = await wire.ask("POST /v2/bench/blob/blobs/uploads/ HTTP/1.1");
  const { pathname, search } = new URL(begun.location, "http://bench");
  const target = `${pathname}${search}${search === "" ? "?" : "&"}digest=${encodeURIComponent(digest)}`;
  const { status } = await wire.ask(`PUT ${target} HTTP/1.1\r\nContent-Type: application/octet-stream`, pieces);
  if (status !== 201) throw new Error(`push: ${status}`);
}

/** Bytes that no registry has seen; their digests are there before they are asked for. */
function fresh(size: number): Fresh {
  const known = stock.get(size)?.pop();
  if (known !== undefined) return known;
  const head = crypto.getRandomValues(new Uint8Array(Math.min(size, 65536)));
  const pieces = size > head.length ? [head, tail.subarray(0, size - head.length)] : [head];
  const hash = new Bun.CryptoHasher("sha256");
  for (const piece of pieces) hash.update(piece);
  return { pieces, digest: `sha256:${hash.digest("hex")}` };
}

/** Makes blobs for a round, so that making them is not measured. */
function refill(size: number, count: number): void {
  const blobs = [];
  for (let at = 0; at < count; at++) blobs.push(fresh(size));
  stock.set(size, blobs);
}

/** Pulls or pushes a second, and the milliseconds of processor time that the registry spends on one. */
interface Rate {
  rate: number;
  cpu: number;
}

async function measure(each: Case): Promise<void> {
  if (flags.only !== undefined && !each.name.includes(flags.only)) return;
  const taken = contestants.map((): Rate[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      if (each.name.startsWith("push")) refill(each.count === undefined ? 4096 : 8 << 20, each.count ?? 3000);
      const rate = await rateOf(contestant, each);
      if (round > 0) taken[index]?.push(rate);
    }
  }
  const [ours = 0, peer = 0] = taken.map((rates) => median(rates.map(({ rate }) => rate)));
  const [work = 0, peerWork = 0] = taken.map((rates) => median(rates.map(({ cpu }) => cpu)));
  const cells = [each.name, shown(ours), shown(peer), (ours / peer).toFixed(2), work.toFixed(2), peerWork.toFixed(2)];
  say(`| ${cells.join(" | ")} | ${(peerWork / work).toFixed(2)} |`);
}

async function rateOf({ port, child }: Contestant, each: Case): Promise<Rate> {
  const [begin, before] = [performance.now(), await processorTime(child.pid)];
  const done = each.many === undefined ? await repeat(port, each) : await each.many(port);
  return { rate: (done * 1000) / (performance.now() - begin), cpu: ((await processorTime(child.pid)) - before) / done };
}

/** Pulls or pushes for a while, or so many times; how many. */
async function repeat(port: number, { clients, once, count }: Case): Promise<number> {
  const wires = await Promise.all(Array.from({ length: clients }, () => Wire.open(port)));
  const end = performance.now() + milliseconds;
  let done = 0;
  let begun = 0;
  await Promise.all(
    wires.map(async (wire) => {
      for (; count === undefined ? performance.now() < end : begun < count; done++) {
        begun++;
        await once(wire);
      }
    }),
  );
  for (const wire of wires) wire.close();
  return done;
}

/** Milliseconds of processor time that a process has used, all of its threads; the kernel counts in hundredths of a second. */
async function processorTime(pid: number): Promise<number> {
  const fields = (await Bun.file(`/proc/${pid}/stat`).text()).split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function shown(rate: number): string {
  return `${rate < 100 ? rate.toFixed(1) : rate.toFixed(0)} /s`;
}
