/**
 * `bun bench/many.ts [--peer unix:///path] [--count N] [--rounds N] [--write]`: many containers at once, ours against another engine, in turns: create and
 * start one by one and 32 at once, `ps` and `inspect` among them, their statistics, and the memory that an engine takes for each.
 * Without `--peer` it fetches and starts Debian's dockerd in namespaces of its own. `--write` puts the tables into the README.
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
import { engineMemory } from "./memory.ts";
import { type Engine, runningEngine, startDockerd } from "./peer.ts";
import { table, type Row } from "./report.ts";

const AT_ONCE = 32;
const WAVES = 3;

const { values: flags } = parseArgs({
  options: {
    peer: { type: "string" },
    count: { type: "string", default: "100" },
    rounds: { type: "string", default: "5" },
    write: { type: "boolean" },
  },
});
const count = Number(flags.count);
const rounds = Number(flags.rounds);

/** An engine with its folder, and all that was measured of its memory. */
interface Side {
  engine: Engine;
  folder: string;
  memory: { what: string; bytes: number; processes: number }[];
}

async function request(engine: Engine, method: string, path: string, body?: object): Promise<unknown> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await fetch(`http://docker${path}`, { unix: engine.host.slice("unix://".length), method, ...json });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === "" ? undefined : (JSON.parse(text) as unknown);
}

async function createAndStart(engine: Engine): Promise<void> {
  const { Id } = (await request(engine, "POST", "/containers/create", { Image: "busybox", Cmd: ["sleep", "3600"] })) as { Id: string };
  await request(engine, "POST", `/containers/${Id}/start`);
}

async function together(engine: Engine): Promise<void> {
  await Promise.all(Array.from({ length: AT_ONCE }, () => createAndStart(engine)));
}

const folder = await mkdtemp(join(tmpdir(), "lighter-many-"));
try {
  const client = await dockerClient("bookworm");
  const oursFolder = join(folder, "lighter");
  const peerFolder = join(folder, "dockerd");
  await using daemon = new Daemon(oursFolder);
  await daemon.start();
  await using peer = flags.peer === undefined ? await startDockerd(peerFolder) : runningEngine(flags.peer);
  const ours: Engine = { name: "lighter", host: `unix://${daemon.socket}`, async [Symbol.asyncDispose]() {} };
  const sides: Side[] = [
    { engine: peer, folder: peerFolder, memory: [] },
    { engine: ours, folder: oursFolder, memory: [] },
  ];
  const { archive } = await testImage("busybox");
  for (const { engine } of sides) await must([client, "load", "-i", archive], { env: { DOCKER_HOST: engine.host } });
  const rows: Row[] = [];
  const names = [`docker, ${peer.name}`, "docker, lighter", "lighter, lighter"];
  const add = async (
    what: string,
    once: (pair: { client: string; engine: Engine }) => Promise<number | void>,
    times: number,
  ): Promise<void> => {
    const pairs = [
      { client, engine: peer },
      { client, engine: ours },
      { client: LIGHTER, engine: ours },
    ];
    const contestants = pairs.map((pair, index): Contestant => ({ name: names[index] ?? "", once: () => once(pair) }));
    rows.push({ what, figures: await interleaved(contestants, times) });
  };
  const overApi = async (what: string, once: (engine: Engine) => Promise<void>, times: number): Promise<void> => {
    const contestants = sides.map(({ engine }, index): Contestant => ({ name: names[index] ?? "", once: () => once(engine) }));
    const [theirs, mine] = await interleaved(contestants, times);
    if (theirs === undefined || mine === undefined) throw new Error("nothing was measured");
    // One figure for both clients: the API alone is asked.
    rows.push({ what, figures: [theirs, mine, { ...mine, name: names[2] ?? "" }] });
  };
  // What a load needed goes when nothing has come after it for some seconds.
  await Bun.sleep(15_000);
  weigh(sides, "idle");
  await overApi(`create + start, one of ${count} in a row, API`, createAndStart, count - 1);
  await Bun.sleep(2000);
  weigh(sides, `${count} containers`);
  await add(
    `stats --no-stream of ${count}`,
    (pair) => timed([pair.client, "stats", "--no-stream"], { DOCKER_HOST: pair.engine.host }),
    Math.min(rounds, 3),
  );
  const inOneCall = async (): Promise<number> =>
    (await interleaved([{ name: "", once: () => settled(request(ours, "GET", "/lighter/stats")) }], rounds))[0]?.median ?? NaN;
  const ofCount = await inOneCall();
  await overApi(`create + start, ${AT_ONCE} at once, API`, together, WAVES - 1);
  const all = count + AT_ONCE * WAVES;
  await add(`ps among ${all}`, (pair) => timed([pair.client, "ps"], { DOCKER_HOST: pair.engine.host }), rounds);
  const youngest = new Map<string, string>();
  for (const { engine } of sides)
    youngest.set(engine.name, ((await request(engine, "GET", "/containers/json?limit=1")) as { Id: string }[])[0]?.Id ?? "");
  const inspect = (pair: { client: string; engine: Engine }): Promise<number> =>
    timed([pair.client, "inspect", youngest.get(pair.engine.name) ?? ""], { DOCKER_HOST: pair.engine.host });
  await add(`inspect among ${all}`, inspect, rounds);
  await add(
    "exec CONTAINER true",
    (pair) => timed([pair.client, "exec", youngest.get(pair.engine.name) ?? "", "true"], { DOCKER_HOST: pair.engine.host }),
    rounds,
  );
  const ofAll = await inOneCall();
  const text = `${table(rows)}\n\n${memoryTable(sides)}\n\nStatistics of all in one call (\`GET /lighter/stats\`): ${ofCount.toFixed(1)} ms of ${count}, ${ofAll.toFixed(1)} ms of ${all}.`;
  console.log(text);
  if (flags.write) await replaceSection("README.md", "many", text);
  await Promise.all(sides.map(({ engine }) => removeAll(engine)));
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function settled(work: Promise<unknown>): Promise<void> {
  await work;
}

function weigh(sides: readonly Side[], what: string): void {
  for (const side of sides) side.memory.push({ what, ...engineMemory(side.folder) });
}

/** Megabytes of the engines, and what one more container costs. */
function memoryTable(sides: readonly Side[]): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);
  const lines = (sides[0]?.memory ?? []).map(
    ({ what }, index) => `| ${what} | ${sides.map(({ memory }) => `${megabytes(memory[index]?.bytes ?? 0)} MB`).join(" | ")} |`,
  );
  const each = sides.map(({ memory: [idle, full] }) => `${megabytes(((full?.bytes ?? 0) - (idle?.bytes ?? 0)) / count)} MB`);
  const head = `| memory of the engine (PSS) | ${sides.map(({ engine }) => engine.name).join(" | ")} |\n|---|${sides.map(() => "---:").join("|")}|`;
  return [head, ...lines, `| per running container | ${each.join(" | ")} |`].join("\n");
}

async function removeAll(engine: Engine): Promise<void> {
  const containers = (await request(engine, "GET", "/containers/json?all=1")) as { Id: string }[];
  for (let at = 0; at < containers.length; at += AT_ONCE)
    await Promise.all(containers.slice(at, at + AT_ONCE).map(({ Id }) => request(engine, "DELETE", `/containers/${Id}?force=1`)));
}
