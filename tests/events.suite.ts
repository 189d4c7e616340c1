/** What the engine tells of what happens: sequences and attributes as Docker's, kept over a crash, filtered. Deadline: 120 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ground } from "./harness/ground.ts";
import { eventsOf, stamp, toldBy } from "./harness/told.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** Does something and compares what is told meanwhile, line by line. */
async function tells(lines: string[], act: () => Promise<unknown>): Promise<void> {
  expect(await toldBy(ground.daemon, lines.length, act)).toEqual(lines);
}

const docker = async (...args: string[]): Promise<string> => await ground.client("docker 20.10").must(...args);
const fails = async (...args: string[]): Promise<void> => void (await ground.client("docker 20.10").run(args));

/** The line of a container's event. */
function of(name: string, action: string, ...attributes: string[]): string {
  return [`container ${action} [ID]`, ...[...attributes, "image=busybox", `name=${name}`].sort()].join(" ");
}

function network(action: string, name = "bridge"): string {
  return `network ${action} [ID] container=ID name=${name} type=bridge`;
}

const started = (name: string): string[] => [network("connect"), of(name, "start")];
const ended = (name: string, code: number): string[] => [of(name, "die", `exitCode=${code}`), network("disconnect")];
const SLEEP = ["busybox", "sleep", "600"];

test("run, with and without --rm, detached and attached; labels are attributes", async () => {
  await tells([of("one", "create"), of("one", "attach"), ...started("one"), ...ended("one", 0)], () =>
    docker("run", "--name", "one", "busybox", "true"),
  );
  await tells([of("two", "create"), of("two", "attach"), ...started("two"), ...ended("two", 3), of("two", "destroy")], () =>
    fails("run", "--rm", "--name", "two", "busybox", "sh", "-c", "exit 3"),
  );
  const labelled = (action: string, ...more: string[]): string => of("three", action, "a=b", ...more);
  await tells([labelled("create"), network("connect"), labelled("start")], () =>
    docker("run", "-d", "--label", "a=b", "--name", "three", ...SLEEP),
  );
  const end = [labelled("kill", "signal=9"), labelled("die", "exitCode=137"), network("disconnect"), labelled("destroy")];
  await tells(end, () => docker("rm", "-f", "three"));
});

test("stop, kill, restart, rm -f", async () => {
  const polite = ["busybox", "sh", "-c", "trap 'exit 3' TERM HUP; echo up; while :; do sleep 0.1; done"];
  await docker("run", "-d", "--name", "web", ...polite);
  await until("it runs", async () => (await docker("logs", "web")) === "up");
  await tells([of("web", "kill", "signal=15"), ...ended("web", 3), of("web", "stop")], () => docker("stop", "web"));
  await tells(started("web"), () => docker("start", "web"));
  await until("it runs", async () => (await docker("logs", "web")) === "up\nup");
  await tells([of("web", "kill", "signal=15"), ...ended("web", 3), of("web", "stop"), ...started("web"), of("web", "restart")], () =>
    docker("restart", "web"),
  );
  await until("it runs", async () => (await docker("logs", "web")) === "up\nup\nup");
  await tells([of("web", "kill", "signal=1"), ...ended("web", 3)], () => docker("kill", "-s", "HUP", "web"));
  await docker("rm", "web");

  await docker("run", "-d", "--name", "deaf", ...SLEEP);
  await tells([of("deaf", "kill", "signal=15"), of("deaf", "kill", "signal=9"), ...ended("deaf", 137), of("deaf", "stop")], () =>
    docker("stop", "-t", "1", "deaf"),
  );
  await docker("start", "deaf");
  await tells([of("deaf", "kill", "signal=9"), ...ended("deaf", 137), of("deaf", "destroy")], () => docker("rm", "-f", "deaf"));
});

test("a start that fails; a restart by policy", async () => {
  await tells([of("bad", "create"), of("bad", "attach"), network("connect"), network("disconnect")], () =>
    fails("run", "--name", "bad", "busybox", "no-such-command"),
  );
  const again = [...started("again"), ...ended("again", 4)];
  await tells([of("again", "create"), ...again, ...again, ...again], () =>
    docker("run", "-d", "--name", "again", "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 4"),
  );
});

test("out of memory", async () => {
  const hog = ["-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", "x=a; while :; do x=$x$x; done"];
  await tells([of("hog", "create"), of("hog", "attach"), ...started("hog"), of("hog", "oom"), ...ended("hog", 137)], () =>
    fails("run", "--name", "hog", ...hog),
  );
  const child = ["-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", "sh -c 'x=a; while :; do x=$x$x; done'; exec sleep 600"];
  await tells([of("parent", "create"), ...started("parent"), of("parent", "oom")], () => docker("run", "-d", "--name", "parent", ...child));
  expect(await docker("inspect", "-f", "{{.State.Status}}", "parent")).toBe("running");
  await tells([of("parent", "kill", "signal=9"), ...ended("parent", 137), of("parent", "destroy")], () => docker("rm", "-f", "parent"));
});

test("exec, its end, one that cannot be run, and the keys that leave it or a container", async () => {
  await docker("run", "-d", "--name", "box", ...SLEEP);
  const exec = (command: string, code?: number): string[] => [
    of("box", `exec_create: ${command}`, "execID=ID"),
    of("box", `exec_start: ${command}`, "execID=ID"),
    ...(code === undefined ? [] : [of("box", "exec_die", "execID=ID", `exitCode=${code}`)]),
  ];
  await tells(exec("sh -c exit 3", 3), () => fails("exec", "box", "sh", "-c", "exit 3"));
  await tells(exec("sleep 0.2", 0), () => docker("exec", "-d", "box", "sleep", "0.2"));
  await tells(exec("no-such-command"), () => fails("exec", "box", "no-such-command"));

  const body = { AttachStdin: true, AttachStdout: true, Tty: true, Cmd: ["cat"] };
  const { Id } = await ground.daemon.json<{ Id: string }>("POST", "/containers/box/exec", { body });
  await tells([of("box", "exec_start: cat", "execID=ID"), of("box", "exec_detach", "execID=ID")], () =>
    typeKeys(`/exec/${Id}/start`, { Detach: false, Tty: true }),
  );
  await docker("run", "-dit", "--name", "shell", "busybox");
  await tells([of("shell", "attach"), of("shell", "detach")], () =>
    typeKeys("/containers/shell/attach?stream=1&stdin=1&stdout=1&stderr=1", undefined),
  );
  expect(await docker("inspect", "-f", "{{.State.Running}}", "shell")).toBe("true");
  await docker("rm", "-f", "box", "shell");
});

/** Takes over a connection and types the keys that leave a terminal. */
async function typeKeys(path: string, body: object | undefined): Promise<void> {
  const text = body === undefined ? "" : JSON.stringify(body);
  const closed = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: ground.daemon.socket,
    socket: {
      data: () => answered.resolve(),
      end: () => closed.resolve(),
      close: () => closed.resolve(),
      error: (_, error) => closed.reject(error),
    },
  });
  const head = `POST /v1.41${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n`;
  socket.write(`${head}Content-Length: ${text.length}\r\n\r\n${text}`);
  await answered.promise;
  socket.write("\u0010\u0011");
  await closed.promise;
  socket.end();
}

test("rename, pause, top, resize, files, commit, update", async () => {
  await docker("run", "-d", "--name", "old", ...SLEEP);
  await tells([of("new", "rename", "oldName=/old")], () => docker("rename", "old", "new"));
  await tells([of("new", "pause"), of("new", "unpause")], async () => {
    await docker("pause", "new");
    await docker("unpause", "new");
  });
  await tells([of("new", "top")], () => docker("top", "new"));
  await tells([of("new", "update")], () => docker("update", "--cpu-shares", "512", "new"));
  await tells([of("new", "archive-path")], () => docker("cp", "new:/etc/passwd", ground.path("passwd")));
  await tells([of("new", "extract-to-dir")], () => docker("cp", ground.path("passwd"), "new:/tmp"));
  await tells([of("new", "export")], () => docker("export", "-o", ground.path("export.tar"), "new"));
  await tells([of("new", "resize", "height=5", "width=7")], () =>
    ground.daemon.api("POST", "/containers/new/resize?h=5&w=7").then(() => undefined),
  );
  await tells(
    [
      of("new", "pause"),
      "image tag [ID] name=made:1",
      `container commit [ID] comment= image=busybox imageID=ID imageRef=made:1 name=new`,
      of("new", "unpause"),
    ],
    () => docker("commit", "new", "made:1"),
  );
  await docker("rm", "-f", "new");
});

test("networks", async () => {
  const made = (action: string, name: string): string => `network ${action} [ID] name=${name} type=bridge`;
  await docker("run", "-d", "--name", "mover", ...SLEEP);
  await tells([made("create", "n1"), network("connect", "n1"), network("disconnect", "n1"), made("destroy", "n1")], async () => {
    await docker("network", "create", "n1");
    await docker("network", "connect", "n1", "mover");
    await docker("network", "disconnect", "n1", "mover");
    await docker("network", "rm", "n1");
  });
  await docker("network", "create", "n2");
  await tells([made("destroy", "n2"), "network prune [] reclaimed=N"], () => docker("network", "prune", "-f"));
  await docker("rm", "-f", "mover");
});

test("volumes: a named one stays, an anonymous one goes before its container", async () => {
  const mount = (name: string, destination: string, rw = true): string =>
    `volume mount [${name}] container=ID destination=${destination} driver=local propagation= read/write=${rw}`;
  await tells(
    [
      "volume create [data] driver=local",
      "volume create [ID] driver=local",
      of("user", "create"),
      network("connect"),
      mount("data", "/data", false),
      mount("ID", "/own"),
      of("user", "start"),
    ],
    () => docker("run", "-d", "--rm", "--name", "user", "-v", "data:/data:ro", "-v", "/own", ...SLEEP),
  );
  await tells(
    [
      of("user", "kill", "signal=9"),
      ...ended("user", 137),
      "volume unmount [data] container=ID driver=local",
      "volume unmount [ID] container=ID driver=local",
      "volume destroy [ID] driver=local",
      of("user", "destroy"),
    ],
    () => docker("kill", "user"),
  );
  await tells(["volume destroy [data] driver=local"], () => docker("volume", "rm", "data"));
  await tells(["volume create [v2] driver=local", "volume destroy [v2] driver=local", "volume prune [] reclaimed=N"], async () => {
    await docker("volume", "create", "v2");
    await ground.daemon.api("POST", `/volumes/prune?filters=${encodeURIComponent('{"all":["1"]}')}`);
  });
});

test("images: pull, push, tag, save, load, import, remove, prune", async () => {
  const image = (action: string, name = "ID"): string => `image ${action} [ID] name=${name}`;
  const from = `${ground.registry.host}/busybox`;
  await tells([`image pull [${from}:latest] name=${from}`], () => docker("pull", `${from}:latest`));
  await tells([image("tag", `${from}:next`), `image push [${from}:next] name=${from}`, image("untag")], async () => {
    await docker("tag", from, `${from}:next`);
    await docker("push", `${from}:next`);
    await docker("rmi", `${from}:next`);
  });
  await docker("tag", "busybox", "kept:1");
  await tells([image("save"), image("untag"), image("load", "kept:1"), image("untag")], async () => {
    await docker("save", "-o", ground.path("kept.tar"), "kept:1");
    await docker("rmi", "kept:1");
    await docker("load", "-i", ground.path("kept.tar"));
    await docker("rmi", "kept:1");
  });
  await tells([image("tag", "imported:1"), image("import"), image("untag"), image("delete")], async () => {
    await docker("import", ground.path("export.tar"), "imported:1");
    await docker("rmi", "imported:1");
  });
  await tells(["image prune [] reclaimed=N"], () => docker("image", "prune", "-f"));
  await docker("create", "--name", "pruned", "busybox");
  const pruned = (await toldBy(ground.daemon, 2, () => docker("container", "prune", "-f"))).slice(-2);
  expect(pruned[0]).toMatch(/^container destroy /);
  expect(pruned[1]).toBe("container prune [] reclaimed=N");
});

test("nothing is forgotten with a crash: more than 256, what happened meanwhile with its true time, nothing told twice", async () => {
  const begin = stamp();
  const gate = ground.path("gate");
  mkdirSync(gate);
  const short = "while [ ! -e /gate/open ]; do sleep 0.05; done; exit 7";
  const id = await docker("run", "-d", "--name", "short", "-v", `${gate}:/gate:ro`, "busybox", "sh", "-c", short);
  for (let n = 0; n < 300; n++) await ground.daemon.api("POST", `/images/busybox/tag?repo=many&tag=${n}`);
  const before = await eventsOf(ground.daemon, { since: begin });
  expect(before.filter(({ Action }) => Action === "tag")).toHaveLength(300);

  await ground.daemon.end("SIGKILL");
  const down = Date.now();
  writeFileSync(join(gate, "open"), "");
  await until("it has ended", () => existsSync(join(ground.daemon.execRoot, "containers", id, "exit")));
  const up = Date.now();
  await ground.daemon.start();

  const after = await eventsOf(ground.daemon, { since: begin });
  expect(after.slice(0, before.length)).toEqual(before);
  const die = after.find(({ Action }) => Action === "die");
  expect(die?.Actor.Attributes).toMatchObject({ name: "short", exitCode: "7" });
  const time = (die?.timeNano ?? 0) / 1e6;
  expect(time).toBeLessThan(up);
  // The kernel's times of files may be some milliseconds too early.
  expect(time).toBeGreaterThan(down - 50);
  expect(after[before.length]).toEqual(die as (typeof after)[number]);
  expect(new Set(after.map((event) => JSON.stringify(event))).size).toBe(after.length);
  const cut = stamp(down);
  const halves = [...(await eventsOf(ground.daemon, { since: begin, until: cut })), ...(await eventsOf(ground.daemon, { since: cut }))];
  expect(halves.length).toBeGreaterThanOrEqual(after.length);
});

test("filters, alone and together", async () => {
  const since = stamp();
  await docker("volume", "create", "filtered");
  await docker("network", "create", "filtered-net");
  await docker("run", "--name", "filter-a", "--label", "kind=a", "busybox", "true");
  await docker("run", "--name", "filter-b", "--network", "filtered-net", "-v", "filtered:/v", "busybox", "true");
  const until = stamp();
  const all = await eventsOf(ground.daemon, { since, until });
  const pick = async (filters: Record<string, string[]>): Promise<string[]> =>
    (await eventsOf(ground.daemon, { since, until, filters })).map((event) => `${event.Type} ${event.Action}`);
  const life = ["create", "attach", "start", "die"].map((action) => `container ${action}`);
  const id = all.find(({ Actor }) => Actor.Attributes["name"] === "filter-a")?.Actor.ID ?? "";

  expect(await pick({ container: ["filter-a"] })).toEqual(life);
  expect(await pick({ container: [id] })).toEqual(life);
  expect(await pick({ container: [id.slice(0, 12)] })).toEqual(life);
  expect(await pick({ container: ["filter-a", "filter-b"], event: ["die", "start"] })).toEqual([...life.slice(2), ...life.slice(2)]);
  expect(await pick({ label: ["kind=a"] })).toEqual(life);
  expect(await pick({ label: ["kind"], event: ["create"] })).toEqual(["container create"]);
  expect(await pick({ image: ["busybox"], event: ["create"] })).toEqual(["container create", "container create"]);
  expect(await pick({ type: ["volume"] })).toEqual(["volume create", "volume mount", "volume unmount"]);
  expect(await pick({ volume: ["filtered"] })).toEqual(["volume create", "volume mount", "volume unmount"]);
  expect(await pick({ network: ["filtered-net"] })).toEqual(["network create", "network connect", "network disconnect"]);
  expect(await pick({ type: ["network", "volume"], event: ["create"] })).toEqual(["volume create", "network create"]);
  expect(await pick({ scope: ["swarm"] })).toEqual([]);
  expect(await pick({ service: ["any"] })).toEqual([]);
  expect(await pick({ container: ["no-such"] })).toEqual([]);
  const { stdout } = await ground.lighter.run([
    "events",
    "--since",
    since,
    "--until",
    until,
    "-f",
    "container=filter-b",
    "--format",
    "{{.Action}}",
  ]);
  expect(stdout.trim().split("\n")).toEqual(["create", "attach", "start", "die"]);
  const whole = await ground.lighter.must("events", "--since", since, "--until", until, "-f", "event=die", "--format", "{{json .}}");
  expect(whole.split("\n").map((line) => JSON.parse(line) as object)).toEqual(all.filter(({ Action }) => Action === "die"));
});
