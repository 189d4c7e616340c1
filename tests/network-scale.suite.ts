/** Many networks and many published ports, made and removed while the daemon is killed again and again: nothing is lost, nothing stays. Deadline: 900 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { count } from "./harness/counts.ts";
import { figure } from "./harness/figures.ts";
import { Ground } from "./harness/ground.ts";
import { type HostNetwork, hostNetwork } from "./harness/host-network.ts";
import { until } from "./harness/until.ts";

const NETWORKS = count(24, 300);
const CONTAINERS = count(4, 20);
const PORTS = count(10, 50);
/** So many are removed one after the other, and the rest by prune. */
const ONE_BY_ONE = count(4, 20);
/** The first published port: below the range that connections take theirs from. */
const FIRST = 20_000;

let ground: Ground;
let before: HostNetwork;
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  await ground.lighter.must("run", "--rm", "busybox", "true");
  await ground.daemon.end();
  before = await hostNetwork();
  await ground.daemon.start();
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

const nameOf = (index: number): string => `many-${index}`;
const listed = async (): Promise<string[]> =>
  (await ground.daemon.json<{ Name: string }[]>("GET", "/networks")).map(({ Name }) => Name).filter((name) => name.startsWith("many-"));

/** Works off a list, four at a time, and kills the daemon somewhere in the middle; what was acknowledged by then, and what was under way. */
async function killedAt<T>(work: readonly T[], at: number, act: (item: T) => Promise<Response>): Promise<{ acknowledged: T[]; left: T[] }> {
  const acknowledged: T[] = [];
  const waiting = [...work];
  const gone = Promise.withResolvers<void>();
  const one = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      const response = await act(item).catch(() => undefined);
      if (response === undefined) return;
      if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
      acknowledged.push(item);
      if (acknowledged.length === at) gone.resolve();
    }
  };
  const workers = Promise.all(Array.from({ length: 4 }, one));
  await Promise.race([gone.promise, workers]);
  await ground.daemon.end("SIGKILL");
  await workers;
  await ground.daemon.start();
  return { acknowledged, left: work.filter((item) => !acknowledged.includes(item)) };
}

/** Milliseconds that each of a list took, one after the other. */
async function timed(names: readonly string[], act: (name: string) => Promise<Response>): Promise<number[]> {
  const times: number[] = [];
  for (const name of names) {
    const start = performance.now();
    const response = await act(name);
    if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`);
    times.push(performance.now() - start);
  }
  return times;
}

const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
/** Of every fourth network, so that both families are there and the rules of them, too. */
const create = (name: string): Promise<Response> =>
  ground.daemon.api("POST", "/networks/create", {
    body: { Name: name, EnableIPv6: Number(name.slice(5)) % 4 === 0, Labels: { many: "yes" } },
  });

test(`${NETWORKS} networks, the daemon killed in the middle: every acknowledged one is there and no other has a bridge`, async () => {
  const half = Array.from({ length: NETWORKS / 2 }, (_, index) => nameOf(index));
  const { acknowledged, left } = await killedAt(half, half.length / 2, create);
  const found = await listed();
  expect(acknowledged.filter((name) => !found.includes(name))).toEqual([]);
  const open = left.filter((name) => !found.includes(name));
  const rest = [...open, ...Array.from({ length: NETWORKS - half.length }, (_, index) => nameOf(half.length + index))];
  const times = await timed(rest, create);
  expect((await listed()).length).toBe(NETWORKS);
  const { links, rules } = await hostNetwork();
  expect(links.filter((name) => name.startsWith("br-"))).toHaveLength(NETWORKS);
  expect(rules.join(" ").match(/"br-[0-9a-f]{12}" \. "br-/g)?.length).toBeGreaterThanOrEqual(NETWORKS);
  const [early, late] = [times.slice(0, 20), times.slice(-20)].map(median);
  await figure("networks", `create a network: the first 20, and with ${NETWORKS} there`, `${early?.toFixed(0)} ms, ${late?.toFixed(0)} ms`);
});

const portsOf = (index: number): { first: number; last: number } => ({
  first: FIRST + index * PORTS,
  last: FIRST + (index + 1) * PORTS - 1,
});

/** What a published port says: the container behind it greets with its name. */
async function greeting(port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  const socket = connect(port, "127.0.0.1");
  socket.setTimeout(2000, () => socket.destroy());
  socket.on("data", (data: Buffer) => (text += data.toString()));
  socket.on("error", () => resolve("refused"));
  socket.on("close", () => resolve(text.trim()));
  return await promise;
}

test(`${CONTAINERS * PORTS} published ports answer, on networks of their own, also after the daemon was killed`, async () => {
  const run = async (index: number): Promise<void> => {
    const { first, last } = portsOf(index);
    const serve = `for p in $(seq 1 ${PORTS}); do nc -ll -p $p -e echo c-${index} & done; wait`;
    const ports = ["-p", `${first}-${last}:1-${PORTS}`];
    await ground.lighter.must(
      "run",
      "-d",
      "--init",
      "--name",
      `c-${index}`,
      "--network",
      nameOf(index),
      ...ports,
      "busybox",
      "sh",
      "-c",
      serve,
    );
  };
  await Promise.all(Array.from({ length: CONTAINERS }, (_, index) => run(index)));
  await ground.daemon.end("SIGKILL");
  const all = Array.from({ length: CONTAINERS }, (_, index) => index);
  const check = async (): Promise<void> => {
    for (const index of all) {
      const { first, last } = portsOf(index);
      for (const port of [first, last])
        await until(`port ${port} greets`, async () => (await greeting(port)) === `c-${index}`, { timeout: 30_000, every: 100 });
    }
  };
  await check();
  await ground.daemon.start();
  await check();
  await figure(
    "networks",
    "published ports that answer with the daemon killed, and after its restart",
    `${CONTAINERS * PORTS} in ${CONTAINERS} networks`,
  );
});

test("all removed, the daemon killed in the middle of it: the host is as before", async () => {
  const running = Array.from({ length: CONTAINERS }, (_, index) => `c-${index}`);
  const { left } = await killedAt(running, Math.ceil(running.length / 2), (name) =>
    ground.daemon.api("DELETE", `/containers/${name}?force=1&v=1`),
  );
  for (const name of left) await ground.daemon.api("DELETE", `/containers/${name}?force=1&v=1`);
  expect(await ground.daemon.json<unknown[]>("GET", "/containers/json?all=1")).toEqual([]);
  const names = await listed();
  const remove = (name: string): Promise<Response> => ground.daemon.api("DELETE", `/networks/${name}`);
  const third = names.slice(0, NETWORKS / 3);
  const { acknowledged } = await killedAt(third, Math.ceil(third.length / 2), remove);
  const still = await listed();
  expect(acknowledged.filter((name) => still.includes(name))).toEqual([]);
  const times = await timed(still.slice(0, ONE_BY_ONE), remove);
  const pruned = await ground.daemon.json<{ NetworksDeleted: string[] }>(
    "POST",
    `/networks/prune?filters=${encodeURIComponent('{"label":["many=yes"]}')}`,
  );
  expect(pruned.NetworksDeleted).toHaveLength(still.length - ONE_BY_ONE);
  expect(await listed()).toEqual([]);
  await ground.daemon.end();
  await until("the kernel has let go of the namespaces", async () => (await hostNetwork()).links.length === before.links.length);
  expect(await hostNetwork()).toEqual(before);
  await figure("networks", "remove a network", `${median(times).toFixed(0)} ms`);
  await figure(
    "networks",
    "left of them: links, addresses, routes, rules, neighbours, settings, namespaces",
    "none, with the daemon killed at three moments",
  );
  await ground.daemon.start();
});
