/**
 * `bun bench/run.ts [--peer unix:///path] [--rounds N] [--only TEXT] [--write]`: how soon a container starts, ours against another engine, interleaved.
 * Without `--peer` it fetches and starts Debian's dockerd in namespaces of its own. `--write` puts the table and the plot into the README.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Daemon, LIGHTER } from "../tests/harness/daemon.ts";
import { dockerClient } from "../tools/programs.ts";
import { replaceSection } from "../tools/section.ts";
import { must } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { interleaved, timed, type Contestant } from "./measure.ts";
import { runningEngine, startDockerd, type Engine } from "./peer.ts";
import { plot, table, type Row } from "./report.ts";
import { splitOf, splitTable } from "./split.ts";

interface Pairing {
  name: string;
  client: string;
  host: string;
}

const { values: flags } = parseArgs({
  options: { peer: { type: "string" }, rounds: { type: "string", default: "15" }, only: { type: "string" }, write: { type: "boolean" } },
});
const rounds = Number(flags.rounds);

/** The cases: what one sample does for a pair of client and engine, how many rounds it is worth, and whether one of them is for warming up. */
const CASES: { what: string; rounds: number; warm?: boolean; once: (pair: Pairing) => Promise<number | void> }[] = [
  { what: "run --rm busybox true, bridge", rounds, once: (pair) => docker(pair, "run", "--rm", "busybox", "true") },
  {
    what: "run --rm busybox true, no network",
    rounds,
    once: (pair) => docker(pair, "run", "--rm", "--network", "none", "busybox", "true"),
  },
  { what: "16 at once", rounds: Math.ceil(rounds / 5), once: (pair) => together(16, pair) },
  { what: "64 in a row", rounds: 1, warm: false, once: (pair) => inARow(64, pair) },
  { what: "create + start over the API", rounds, once: createAndStart },
  { what: "exec CONTAINER true", rounds, once: (pair) => docker(pair, "exec", "bench-target", "true") },
  { what: "ps", rounds, once: (pair) => docker(pair, "ps") },
  // These keep the disk busy for a while: they come last.
  { what: "64 MB of lines, attached", rounds: Math.ceil(rounds / 5), once: (pair) => docker(pair, ...writing(64)) },
  { what: "64 MB of lines, read by logs", rounds: 1, warm: false, once: readLogs },
  { what: "1 GB of lines, attached", rounds: 1, warm: false, once: (pair) => docker(pair, ...writing(1024)) },
  { what: "1 GB of lines, detached", rounds: 1, warm: false, once: (pair) => detached(pair, 1024) },
];

async function docker(pair: Pairing, ...words: string[]): Promise<number> {
  return await timed([pair.client, ...words], { DOCKER_HOST: pair.host });
}

/** The words that run a program which writes megabytes of lines of 64 bytes. */
function writing(megabytes: number): string[] {
  const line = "a line of sixty-three letters, as programs write them to output";
  return ["run", "--rm", "--network", "none", "busybox", "sh", "-c", `yes "${line}" | head -c ${megabytes << 20}`];
}

/** Milliseconds until a program that nobody listens to has written all. */
async function detached(pair: Pairing, megabytes: number): Promise<number> {
  const env = { DOCKER_HOST: pair.host };
  const [run = "", , ...rest] = writing(megabytes);
  const start = performance.now();
  const id = (await must([pair.client, run, "-d", ...rest], { env })).trim();
  await must([pair.client, "wait", id], { env });
  const elapsed = performance.now() - start;
  await must([pair.client, "rm", id], { env });
  return elapsed;
}

/** Milliseconds of `docker logs` alone. */
async function readLogs(pair: Pairing): Promise<number> {
  const env = { DOCKER_HOST: pair.host };
  const [run = "", , ...rest] = writing(64);
  const id = (await must([pair.client, run, "-d", "--log-opt", "max-size=1g", ...rest], { env })).trim();
  await must([pair.client, "wait", id], { env });
  const elapsed = await docker(pair, "logs", id);
  await must([pair.client, "rm", id], { env });
  return elapsed;
}

async function together(count: number, pair: Pairing): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => docker(pair, "run", "--rm", "busybox", "true")));
}

async function inARow(count: number, pair: Pairing): Promise<void> {
  for (let index = 0; index < count; index++) await docker(pair, "run", "--rm", "busybox", "true");
}

/** Milliseconds of the two requests alone; the container is removed outside of the clock. */
async function createAndStart(pair: Pairing): Promise<number> {
  const request = async (method: string, path: string, body?: object): Promise<Response> => {
    const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    const response = await fetch(`http://docker${path}`, { unix: pair.host.slice("unix://".length), method, ...json });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const start = performance.now();
  const { Id } = (await (await request("POST", "/containers/create", { Image: "busybox", Cmd: ["true"] })).json()) as { Id: string };
  await request("POST", `/containers/${Id}/start`);
  const elapsed = performance.now() - start;
  await request("POST", `/containers/${Id}/wait`).then((response) => response.text());
  await request("DELETE", `/containers/${Id}`);
  return elapsed;
}

async function prepare(engine: Engine, client: string): Promise<void> {
  const env = { DOCKER_HOST: engine.host };
  const image = await testImage("busybox");
  await must([client, "load", "-q", "-i", image.archive], { env });
  await must([client, "run", "-d", "--name", "bench-target", "busybox", "sleep", "3600"], { env });
}

// Read by the daemon that this bench starts: it then logs the spans of each operation.
process.env["LIGHTER_TRACE"] = "1";
const folder = await mkdtemp(join(tmpdir(), "lighter-bench-"));
try {
  const client = await dockerClient("bookworm");
  await using ours = new Daemon(join(folder, "lighter"));
  await ours.start();
  await using peer = flags.peer === undefined ? await startDockerd(join(folder, "dockerd")) : runningEngine(flags.peer);
  const engine: Engine = { name: "lighter", host: `unix://${ours.socket}`, async [Symbol.asyncDispose]() {} };
  await prepare(peer, client);
  await prepare(engine, client);
  const pairs: Pairing[] = [
    { name: `docker, ${peer.name}`, client, host: peer.host },
    { name: "docker, lighter", client, host: engine.host },
    { name: "lighter, lighter", client: LIGHTER, host: engine.host },
  ];
  const split = splitTable(await splitOf({ client: LIGHTER, host: engine.host, log: () => ours.log, runs: rounds }));
  const rows: Row[] = [];
  for (const { what, rounds: count, warm, once } of CASES.filter((one) => one.what.includes(flags.only ?? ""))) {
    const contestants: Contestant[] = pairs.map((pair) => ({ name: pair.name, once: () => once(pair) }));
    rows.push({ what, figures: await interleaved(contestants, count, { warm: warm ?? true }) });
    console.log(
      table(rows.slice(-1))
        .split("\n")
        .slice(rows.length === 1 ? 0 : 2)
        .join("\n"),
    );
  }
  await must([client, "rm", "-f", "bench-target"], { env: { DOCKER_HOST: peer.host } });
  console.log(`\n${split}`);
  if (flags.write) await publish(rows, split);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function publish(rows: Row[], split: string): Promise<void> {
  const line = `Measured by \`bun bench/run.ts --write\` on 2 cores, kernel ${(await must(["uname", "-r"])).split("-")[0]?.trim()}: client, engine; medians of interleaved rounds.`;
  await Bun.write(join(import.meta.dir, "../docs/bench/run.svg"), plot(rows, "Milliseconds until it is done (client, engine)"));
  await replaceSection("README.md", "bench", `${table(rows)}\n\n${line}\n\n![bench](docs/bench/run.svg)\n\n${split}`);
}
