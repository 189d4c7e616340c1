/**
 * Every parameter of the containers', execs', networks', volumes', images' and the system's endpoints, made up from the definition: success or
 * 4xx with a sentence; never 500, a hang or a leak. Deadline: 150 s.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { count, FULL, randomOf, SEED } from "./harness/counts.ts";
import { Fuzzer, operationsBelow, type Given, type MadeUp } from "./harness/fuzz.ts";
import { Ground } from "./harness/ground.ts";
import { leftovers, type Leftovers, mayPool, pooled, withoutPool } from "./harness/leftovers.ts";
import { SLOW, until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => {
  console.log(`seed ${SEED}`);
  ground = await Ground.lay(["busybox"]);
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

const IMAGE = "busybox";
/** Nobody listens there. */
const NOWHERE = "127.0.0.1:1";
const REFERENCES = ["nothing", "UPPER", "a/b:c", "sha256:0", `${NOWHERE}/x`, `${NOWHERE}/x@sha256:${"0".repeat(64)}`, "x y", ":", "copy:1"];

/** What must not be left to chance: what is there to be found, what would reach out of the test, what would make it a long one. */
const given: Given = (name, pick, template) => {
  switch (name) {
    case "id":
    case "Container":
    case "container":
      return template.startsWith("/networks") && name === "id"
        ? pick(["net", "net", "net", "bridge", "none", "nobody", "../x"])
        : pick(["running", "running", "running", "made", "ended", "nobody", "0"]);
    case "Image":
      return pick([...Array.from({ length: 20 }, () => IMAGE), "nothing", ""]);
    case "Cmd":
      return pick([["true"], ["true"], ["true"], ["sleep", "1"], ["/none"], [], null]);
    case "Entrypoint":
      return pick([null, null, [], ["true"], [""]]);
    case "Runtime":
      return pick(["", "", "runc", "crun", "none"]);
    // What a bind names is made on the host.
    case "Binds":
      return pick([
        null,
        null,
        ["vol:/v"],
        ["vol:/v:ro", "other:/v"],
        ["rel:/x:zz"],
        ["/proc:/p:ro"],
        ["::"],
        [":/x"],
        ["/none", "vol:rel"],
      ]);
    case "Source":
      return pick(["vol", "/proc", "", "rel/x", "/none/such"]);
    case "CreateMountpoint":
      return false;
    case "CgroupParent":
      return pick(["", "", "a/../../b", "x.slice/y"]);
    case "Sysctls":
      return pick([null, {}, { "net.nothing": "1" }, { "kernel.shm_rmid_forced": "x" }, { "": "" }]);
    case "name":
      return template.startsWith("/images")
        ? pick([IMAGE, IMAGE, ...REFERENCES])
        : pick(["vol", "net", "running", "", "", "x".repeat(300), "new", "../x"]);
    case "EndpointsConfig":
      return pick([
        null,
        {},
        { net: {} },
        { net: null },
        { bridge: { IPAMConfig: { IPv4Address: "1.2.3" } } },
        { net: { MacAddress: "x" } },
        { a: {}, b: {} },
      ]);
    case "Tmpfs":
      return pick([null, {}, { "/t": "size=1m" }, { "/t": "size=x" }, { rel: "" }, { "/": "" }, { "/proc/x": "mode=999" }]);
    case "platform":
      return pick(["", "", "linux", "linux/amd64", '{"os":"linux"}', "{", "a/b/c/d"]);
    case "fromImage":
      return pick(["UPPER", ":", "x y", "", `${NOWHERE}/x`, `${NOWHERE}/x@sha256:${"0".repeat(64)}`]);
    case "repo":
    case "names":
      return pick(REFERENCES);
    case "fromSrc":
      return pick(["-", `http://${NOWHERE}/x.tar`, "::"]);
    case "serveraddress":
      return NOWHERE;
    case "t":
      return pick(["0", "1", "", "x", "-5"]);
    case "NetworkMode":
      return pick(["", "bridge", "none", "net", "nothing", "container:running", "container:nobody"]);
    default:
      return undefined;
  }
};

/** A stop may take as long as it is asked to, a pull as long as it tries. */
const MAY_WAIT = /\/(?:stop|restart|wait)$|^\/images\/create$|^\/auth$|\/push$/;
/** A registry that is not there is the daemon's failure by the definition. */
const MAY_FAIL = /^\/images\/create$|^\/auth$|\/push$|^\/distribution|^\/images\/search/;

/** A log driver whose other end is not there is the host's failure, with Docker's status. */
const NOT_HERE = /failed to initialize logging driver/;

/** The containers that requests are about; made anew as they go. */
async function targets(): Promise<void> {
  const { daemon } = ground;
  // An image may be among what was removed.
  if (!(await daemon.api("GET", `/images/${IMAGE}/json`)).ok) await ground.pull(IMAGE);
  const trap = { Image: IMAGE, Cmd: ["sh", "-c", "trap exit TERM INT HUP; while :; do sleep 0.2; done"] };
  const made: [string, object][] = [
    ["running", trap],
    ["made", trap],
    ["ended", { Image: IMAGE, Cmd: ["true"] }],
  ];
  for (const [name, body] of made) {
    const there = await daemon.api("GET", `/containers/${name}/json`);
    const state = there.ok ? ((await there.json()) as { State: { Status: string } }).State.Status : "";
    if (state === (name === "made" ? "created" : name === "ended" ? "exited" : "running")) continue;
    await daemon.api("DELETE", `/containers/${name}?force=1`);
    expect([name, (await daemon.api("POST", `/containers/create?name=${name}`, { body })).status]).toEqual([name, 201]);
    if (name !== "made") await daemon.api("POST", `/containers/${name}/start`);
    if (name === "ended") await daemon.api("POST", `/containers/${name}/wait`).then((response) => response.text());
  }
  if (!(await daemon.api("GET", "/networks/net")).ok) await daemon.api("POST", "/networks/create", { body: { Name: "net" } });
}

/** Asks, reads what comes for a while, and tells what is wrong with it. */
async function ask({ method, template, path, body }: MadeUp, random: () => number): Promise<string | undefined> {
  const version = `1.${[24, 30, 41, 44, 52, 56][Math.floor(random() * 6)]}`;
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), (MAY_WAIT.test(template) ? 1500 : 20_000) * SLOW);
  const what = (): string => `${method} /v${version}${path} ${JSON.stringify(body) ?? ""}`.slice(0, 3000);
  try {
    const response = await ground.daemon.api(method, path, {
      version,
      signal: controller.signal,
      ...(body === undefined || method === "GET"
        ? {}
        : { body: typeof body === "object" && body !== null ? body : Buffer.from(JSON.stringify(body)) }),
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" } }),
    });
    const reading = setTimeout(() => controller.abort(), 300 * SLOW);
    const text = await response.text().catch(() => "{}");
    clearTimeout(reading);
    const { status } = response;
    if (status === 201 && template === "/containers/create") await runMade((JSON.parse(text) as { Id: string }).Id, random);
    if (status < 400 || method === "HEAD") return status === 500 ? `${what()}: ${status}` : undefined;
    const { message } = JSON.parse(text) as { message?: string };
    if (status >= 500 && ![501, 503].includes(status) && !MAY_FAIL.test(template)) return `${what()}: ${status} ${text.slice(0, 300)}`;
    if (status === 499) return undefined;
    return (message ?? "").length < 5 || /undefined|\[object|NaN|is not a function|is not an object/.test(message ?? "")
      ? `${what()}: ${status} ${text.slice(0, 300)}`
      : undefined;
  } catch (error) {
    if (controller.signal.aborted) return MAY_WAIT.test(template) ? undefined : `${what()}: no answer`;
    return `${what()}: ${String(error)}`;
  } finally {
    clearTimeout(timer);
  }
}

/** Starts half of what could be made, and removes it. */
async function runMade(id: string, random: () => number): Promise<void> {
  const { daemon } = ground;
  if (random() < 0.5) {
    const started = await daemon.api("POST", `/containers/${id}/start`);
    const text = await started.text();
    if (started.status >= 500 && !NOT_HERE.test(text))
      throw new Error(`start: ${started.status} ${text} ${await (await daemon.api("GET", `/containers/${id}/json`)).text()}`);
  }
  await (await daemon.api("DELETE", `/containers/${id}?force=1&v=1`)).text();
}

async function clean(): Promise<void> {
  const { daemon } = ground;
  const listed = await daemon.json<{ Id: string }[]>("GET", "/containers/json?all=1");
  for (const { Id } of listed)
    await daemon.api("POST", `/containers/${Id}/unpause`).then(() => daemon.api("DELETE", `/containers/${Id}?force=1&v=1`));
  await until("no container is left", async () => (await daemon.json<unknown[]>("GET", "/containers/json?all=1")).length === 0);
  await daemon.json("POST", `/volumes/prune?filters=${encodeURIComponent('{"all":["true"]}')}`);
  await daemon.json("POST", "/networks/prune");
  // As Docker's, prune leaves networks that only hold settings for others.
  for (const { Id, ConfigOnly } of await daemon.json<{ Id: string; ConfigOnly: boolean }[]>("GET", "/networks"))
    if (ConfigOnly) await daemon.api("DELETE", `/networks/${Id}`);
}

/** Removes until everything is as it was, or patience is over: a request whose client has left may be at work still, and make something. */
async function untilGone(before: Leftovers, rowsBefore: Record<string, number>): Promise<void> {
  const isGone = async (): Promise<boolean> => {
    await clean();
    const after = await leftovers(ground.daemon);
    return (
      Bun.deepEquals(withoutPool(after), withoutPool(before)) && pooled(after) <= mayPool(before) && Bun.deepEquals(rows(), rowsBefore)
    );
  };
  // The pool of networks is narrow again 30 s after it last ran dry.
  await until("all is gone", isGone, { every: 200, timeout: 45_000 }).catch(() => undefined);
}

/** Rows by table, without events, which are kept, and what images there are: commits were among the requests. */
function rows(): Record<string, number> {
  using db = new Database(join(ground.daemon.dataRoot, "state.db"), { readonly: true });
  const tables = db.query("SELECT name FROM sqlite_master WHERE type = 'table'").all() as { name: string }[];
  const counts = tables.map(({ name }) => [name, (db.query(`SELECT count(*) AS n FROM "${name}"`).get() as { n: number }).n] as const);
  return Object.fromEntries(counts.filter(([name]) => !/^(?:events|sqlite_|settings|blob|image|layer|registry)/.test(name)));
}

async function rss(): Promise<number> {
  const status = await Bun.file(`/proc/${ground.daemon.pid}/status`).text();
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
}

const AREAS: Record<string, { starts: string[]; daily: number; full: number }> = {
  "containers and execs": { starts: ["/containers", "/exec", "/commit"], daily: 400, full: 15_000 },
  "networks and volumes": { starts: ["/networks", "/volumes"], daily: 150, full: 4000 },
  "images and the system": {
    starts: ["/images", "/distribution", "/info", "/version", "/system", "/events", "/auth", "/_ping"],
    daily: 120,
    full: 3000,
  },
};

for (const [area, { starts, daily, full }] of Object.entries(AREAS)) {
  test(`${area}: made-up requests`, async () => {
    const random = randomOf(SEED);
    const fuzzer = new Fuzzer(random, given);
    const operations = operationsBelow(...starts);
    const making = operations.filter(([, path]) => /create$|\/exec$|\/update$/.test(path)).concat(operations.slice(0, 1));
    await targets();
    await clean();
    const before: Leftovers = await leftovers(ground.daemon);
    const rowsBefore = rows();
    const rssBefore = await rss();
    const wrong: string[] = [];
    for (let n = 0; n < count(daily, full) && wrong.length < 20; n++) {
      if (n % 10 === 0) await targets();
      // Making is where most of the parameters are.
      const [method, template] = fuzzer.pick(n % 2 === 0 ? making : operations);
      const found = await ask(fuzzer.request(method, template), random);
      if (found !== undefined) wrong.push(found);
    }
    expect(wrong).toEqual([]);
    expect((await ground.daemon.api("GET", "/_ping")).status).toBe(200);
    await untilGone(before, rowsBefore);
    const after = await leftovers(ground.daemon);
    expect(withoutPool(after)).toEqual(withoutPool(before));
    expect(pooled(after)).toBeLessThanOrEqual(mayPool(before));
    expect(after.descriptors).toBeLessThan(before.descriptors + 30);
    expect(rows()).toEqual(rowsBefore);
    expect((await rss()) - rssBefore).toBeLessThan(FULL ? 300 : 200);
  }, 600_000);
}

/** Verbs that meet on one container. */
const VERBS: readonly [method: string, path: string, body?: object][] = [
  ["POST", "/containers/shared/start"],
  ["POST", "/containers/shared/start"],
  ["POST", "/containers/shared/stop?t=0"],
  ["POST", "/containers/shared/restart?t=0"],
  ["POST", "/containers/shared/kill"],
  ["POST", "/containers/shared/pause"],
  ["POST", "/containers/shared/unpause"],
  ["POST", "/containers/shared/unpause"],
  ["POST", "/containers/shared/rename?name=shared2"],
  ["POST", "/containers/shared2/rename?name=shared"],
  ["POST", "/containers/shared/update", { Memory: 64 << 20, MemorySwap: 128 << 20 }],
  ["POST", "/networks/net/connect", { Container: "shared" }],
  ["POST", "/networks/net/disconnect", { Container: "shared", Force: true }],
  ["POST", "/containers/shared/exec", { Cmd: ["true"] }],
  ["GET", "/containers/shared/top"],
  ["GET", "/containers/shared/stats?stream=0&one-shot=1"],
  ["GET", "/containers/shared/json?size=1"],
  ["GET", "/containers/shared/changes"],
  ["GET", "/containers/shared/archive?path=/etc/passwd"],
  ["GET", "/containers/shared/logs?stdout=1&tail=3"],
  ["POST", "/commit?container=shared&repo=made"],
  ["DELETE", "/containers/shared?force=1&v=1"],
  [
    "POST",
    "/containers/create?name=shared",
    { Image: IMAGE, Cmd: ["sh", "-c", "trap exit TERM; while :; do echo x; sleep 0.1; done"], Volumes: { "/v": {} } },
  ],
  ["POST", "/containers/create?name=shared", { Image: IMAGE, Cmd: ["sleep", "0.1"], HostConfig: { AutoRemove: true, NetworkMode: "net" } }],
];

test("verbs at once on one container: no 500, no hang, no leak", async () => {
  const random = randomOf(SEED);
  const { daemon } = ground;
  await targets();
  await clean();
  const before = await leftovers(daemon);
  const rowsBefore = rows();
  await targets();
  const wrong: string[] = [];
  const work = async (): Promise<void> => {
    for (let n = 0; n < count(40, 2000) && wrong.length < 20; n++) {
      const [method, path, body] = VERBS[Math.floor(random() * VERBS.length)] as (typeof VERBS)[number];
      try {
        const response = await daemon.api(method, path, { ...(body && { body }), signal: AbortSignal.timeout(30_000 * SLOW) });
        const text = await response.text();
        if (response.status >= 500) wrong.push(`${method} ${path}: ${response.status} ${text.slice(0, 300)}`);
      } catch (error) {
        // Files of a container that ends while they are sent: the answer has begun, and breaks off.
        if (!path.includes("/archive?") || !/closed unexpectedly/.test(String(error))) wrong.push(`${method} ${path}: ${String(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  expect(wrong).toEqual([]);
  for (const { Id } of await daemon.json<{ Id: string }[]>("GET", "/containers/json?all=1")) {
    const response = await daemon.api("GET", `/containers/${Id}/json`);
    if (!response.ok) continue;
    const { State } = (await response.json()) as { State: { Running: boolean; Pid: number } };
    expect(State.Running).toBe(State.Pid > 0);
  }
  await untilGone(before, rowsBefore);
  const after = await leftovers(daemon);
  expect(withoutPool(after)).toEqual(withoutPool(before));
  expect(pooled(after)).toBeLessThanOrEqual(mayPool(before));
  expect(rows()).toEqual(rowsBefore);
}, 600_000);
