/** The verbs of containers in every state: status, text and what follows, as recorded of dockerd 20.10 (differences are named). Deadline: 120 s. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

let ground: Ground;
beforeAll(async () => void (ground = await Ground.lay(["busybox"])));
afterAll(async () => await ground?.[Symbol.asyncDispose]());

type State = "created" | "running" | "paused" | "exited" | "restarting" | "removed";

/** Status and message, with NAME and ID for the container's, and the state afterwards where it is another. `~` begins a part of a text. */
type Fact = [status: number, text?: string | undefined, after?: string];

interface Verb {
  verb: string;
  request: (name: string) => [method: string, path: string, body?: object];
  facts: Record<State, Fact>;
}

function post(path: string, body?: object): Verb["request"] {
  return (name) => (body === undefined ? ["POST", `/containers/${name}/${path}`] : ["POST", `/containers/${name}/${path}`, body]);
}

const GONE: Fact = [404, "No such container: NAME"];
const NOT_RUNNING: Fact = [409, "container ID is not running"];
const RESTARTING: Fact = [409, "Container ID is restarting, wait until the container is running"];
/** dockerd says 500 here: the request is at fault, not the daemon. */
const NOT_PAUSED: Fact = [409, "Container ID is not paused"];
const NO_KILL: Fact = [409, "cannot kill container: NAME: container ID is not running"];
const all = (fact: Fact, others: Partial<Record<State, Fact>>): Record<State, Fact> => ({
  created: fact,
  running: fact,
  paused: fact,
  exited: fact,
  restarting: fact,
  removed: GONE,
  ...others,
});
const removal = (state: string, what: string): Fact => [409, `cannot remove container "/NAME": container is ${state}: ${what}`];

const VERBS: Verb[] = [
  {
    verb: "start",
    request: post("start"),
    facts: all([204, undefined, "running"], {
      running: [304],
      paused: [409, "cannot start a paused container, try unpause instead"],
      restarting: [304],
      // It ends again at once.
      exited: [204, undefined, "~"],
    }),
  },
  {
    verb: "stop",
    request: post("stop?t=0"),
    facts: all([304], { running: [204, undefined, "exited"], paused: [204, undefined, "exited"], restarting: [204, undefined, "exited"] }),
  },
  {
    verb: "restart",
    request: post("restart?t=0"),
    facts: all([204, undefined, "running"], { exited: [204, undefined, "~"], restarting: [204, undefined, "~"] }),
  },
  {
    verb: "kill",
    request: post("kill"),
    facts: all(NO_KILL, {
      running: [204, undefined, "exited"],
      paused: [204, undefined, "exited"],
      restarting: [204, undefined, "exited"],
      removed: [404, "cannot kill container: NAME: No such container: NAME"],
    }),
  },
  {
    verb: "kill with a signal that does no harm (a paused one goes on, a restart is not waited for: it has no stop signal of its own)",
    request: post("kill?signal=WINCH"),
    facts: all(NO_KILL, {
      running: [204],
      paused: [204, undefined, "running"],
      restarting: [204, undefined, "exited"],
      removed: [404, "cannot kill container: NAME: No such container: NAME"],
    }),
  },
  {
    verb: "kill with no signal at all",
    request: post("kill?signal=BAD"),
    facts: all([400, "invalid signal: BAD"], { removed: [400, "invalid signal: BAD"] }),
  },
  {
    verb: "pause",
    request: post("pause"),
    facts: all(NOT_RUNNING, {
      running: [204, undefined, "paused"],
      paused: [409, "Container ID is already paused"],
      restarting: RESTARTING,
    }),
  },
  { verb: "unpause", request: post("unpause"), facts: all(NOT_PAUSED, { paused: [204, undefined, "running"] }) },
  {
    verb: "top",
    request: (name) => ["GET", `/containers/${name}/top`],
    facts: all(NOT_RUNNING, { running: [200], paused: [200], restarting: RESTARTING }),
  },
  {
    // dockerd says 500 for what the caller's arguments do.
    verb: "top without a column of pids",
    request: (name) => ["GET", `/containers/${name}/top?ps_args=-o%20comm`],
    facts: all(NOT_RUNNING, {
      running: [400, "Couldn't find PID field in ps output"],
      paused: [400, "Couldn't find PID field in ps output"],
      restarting: RESTARTING,
    }),
  },
  {
    verb: "top with what ps does not know",
    request: (name) => ["GET", `/containers/${name}/top?ps_args=--bogus`],
    facts: all(NOT_RUNNING, {
      running: [400, "ps: error: unknown gnu long option"],
      paused: [400, "ps: error: unknown gnu long option"],
      restarting: RESTARTING,
    }),
  },
  { verb: "rename", request: (name) => post(`rename?name=${name}x`)(name), facts: all([204], {}) },
  {
    verb: "rename to its own name",
    request: (name) => post(`rename?name=%2F${name}`)(name),
    facts: all([400, "Renaming a container with the same name as its current name"], {}),
  },
  {
    verb: "rename to what is no name",
    request: post("rename?name=a%20b"),
    facts: all([400, "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"], {}),
  },
  {
    verb: "rename to a name in use",
    request: post("rename?name=taken"),
    facts: all([409, '~Error when allocating new name: Conflict. The container name "/taken" is already in use by container '], {}),
  },
  {
    verb: "rename to nothing",
    request: post("rename?name="),
    facts: all([400, "Neither old nor new names may be empty"], { removed: [400, "Neither old nor new names may be empty"] }),
  },
  { verb: "update", request: post("update", { CpuShares: 512 }), facts: all([200], {}) },
  {
    verb: "exec",
    request: post("exec", { Cmd: ["true"] }),
    facts: all(NOT_RUNNING, {
      running: [201],
      paused: [409, "Container NAME is paused, unpause the container before exec"],
      restarting: RESTARTING,
    }),
  },
  {
    verb: "remove",
    request: (name) => ["DELETE", `/containers/${name}`],
    facts: all([204, undefined, "gone"], {
      running: removal("running", "stop the container before removing or force remove"),
      paused: removal("paused", "unpause and then stop the container before removing or force remove"),
      restarting: removal("restarting", "stop the container before removing or force remove"),
    }),
  },
  { verb: "remove by force", request: (name) => ["DELETE", `/containers/${name}?force=1`], facts: all([204, undefined, "gone"], {}) },
];

const COMMANDS: Record<State, string[]> = {
  created: ["sleep", "600"],
  running: ["sleep", "600"],
  paused: ["sleep", "600"],
  exited: ["true"],
  restarting: ["sh", "-c", "exit 3"],
  removed: [],
};
const PLACEHOLDER = "0".repeat(64);

/** A container in a state; one that restarts has waited often enough that its next start is some time off. */
async function make(state: State): Promise<{ name: string; id: string }> {
  const name = ground.name();
  if (state === "removed") return { name, id: PLACEHOLDER };
  const HostConfig = { NetworkMode: "none", ...(state === "restarting" ? { RestartPolicy: { Name: "always" } } : {}) };
  const body = { Image: "busybox", Cmd: COMMANDS[state], HostConfig };
  const { Id: id } = await ground.daemon.json<{ Id: string }>("POST", `/containers/create?name=${name}`, { body });
  if (state !== "created") await ground.daemon.api("POST", `/containers/${id}/start`);
  if (state === "paused") await ground.daemon.api("POST", `/containers/${id}/pause`);
  await until(`${name} is ${state}`, async () => (await stateOf(id)) === state && (state !== "restarting" || (await restarts(id)) >= 4));
  return { name, id };
}

async function stateOf(id: string): Promise<string> {
  const response = await ground.daemon.api("GET", `/containers/${id}/json`);
  return response.ok ? ((await response.json()) as { State: { Status: string } }).State.Status : "gone";
}

async function restarts(id: string): Promise<number> {
  return (await ground.daemon.json<{ RestartCount: number }>("GET", `/containers/${id}/json`)).RestartCount;
}

describe.each(["created", "running", "paused", "exited", "restarting", "removed"] as const)("a container that is %s", (state) => {
  beforeAll(
    async () => void (await ground.daemon.api("POST", "/containers/create?name=taken", { body: { Image: "busybox", Cmd: ["true"] } })),
  );

  test.each(VERBS)("$verb", async ({ request, facts }) => {
    const [status, text, after = state === "removed" ? "gone" : state] = facts[state];
    const { name, id } = await make(state);
    const [method, path, body] = request(name);
    const response = await ground.daemon.api(method, path, body === undefined ? {} : { body });
    const said = await response.text();
    const message =
      response.status < 400 ? undefined : (JSON.parse(said) as { message: string }).message.replaceAll(id, "ID").replaceAll(name, "NAME");
    expect(response.status).toBe(status);
    if (text?.startsWith("~")) expect(message).toStartWith(text.slice(1));
    else expect(message).toBe(text);
    if (after !== "~") expect(await stateOf(id)).toBe(after);
    await ground.daemon.api("DELETE", `/containers/${id}?force=1`);
  });
});

test("wait: at once for what does not run, with the last code; a container that restarts counts as running", async () => {
  const code = async (name: string, query = ""): Promise<unknown> => {
    const response = await ground.daemon.api("POST", `/containers/${name}/wait${query}`);
    return response.ok ? ((await response.json()) as { StatusCode: number }).StatusCode : response.status;
  };
  const [created, exited, restarting] = await Promise.all([make("created"), make("exited"), make("restarting")]);
  expect(await code(created.name)).toBe(0);
  expect(await code(exited.name)).toBe(0);
  expect(await code(restarting.name)).toBe(3);
  expect(await code(restarting.name, "?condition=next-exit")).toBe(3);
  expect(await code("nobody")).toBe(404);
  expect(await code(created.name, "?condition=foo")).toBe(400);
  for (const { id } of [created, exited, restarting]) await ground.daemon.api("DELETE", `/containers/${id}?force=1`);
});

test("signals by number: taken as they are for the stop, told when they are sent", async () => {
  const { lighter, daemon } = ground;
  const create = async (signal: string): Promise<number> =>
    (await daemon.api("POST", "/containers/create", { body: { Image: "busybox", Cmd: ["sleep", "600"], StopSignal: signal } })).status;
  for (const signal of ["99", "-1", "65", "64", "rtmin+3", "TERM", "SIGterm"])
    expect(`${signal} ${await create(signal)}`).toBe(`${signal} 201`);
  for (const signal of ["0", "RTMIN+31", "SIGFOO", " 9", "9x"]) expect(`${signal} ${await create(signal)}`).toBe(`${signal} 400`);
  const name = ground.name();
  await lighter.must("run", "-d", "--name", name, "--stop-signal", "99", "busybox", "sleep", "600");
  // dockerd says 500 here.
  expect(await daemon.failure("POST", `/containers/${name}/kill?signal=99`)).toEqual({
    status: 400,
    message: `cannot kill container: ${name}: the linux daemon does not support signal 99`,
  });
  await lighter.must("stop", "-t", "60", name);
  expect((await daemon.json<{ State: { ExitCode: number } }>("GET", `/containers/${name}/json`)).State.ExitCode).toBe(137);
});

for (const client of ["lighter", "docker 20.10", "docker 26.1"] as const) {
  test(`${client}: exit codes of the verbs, exec in a folder that is none, port`, async () => {
    const docker = ground.client(client);
    const name = ground.name();
    await docker.must("run", "-d", "--name", name, "busybox", "sleep", "600");
    const outcome = async (...args: string[]): Promise<[number, string]> => {
      const { code, stdout, stderr } = await docker.run(args);
      return [code, stdout + stderr];
    };
    expect(await outcome("exec", "-w", "rel", name, "true")).toEqual([126, expect.stringContaining("Cwd must be an absolute path")]);
    expect(await outcome("exec", "-w", "/nope", name, "true")).toEqual([
      126,
      expect.stringContaining('chdir to cwd ("/nope") set in config.json failed'),
    ]);
    expect(await outcome("unpause", name)).toEqual([1, expect.stringContaining("is not paused")]);
    expect(await outcome("rename", name, name)).toEqual([1, expect.stringContaining(`failed to rename container named ${name}`)]);
    expect(await outcome("update", name)).toEqual([
      1,
      expect.stringMatching(/^you must provide one or more flags when using this command$/im),
    ]);
    for (const verb of ["start", "stop", "restart", "kill", "pause", "unpause", "top", "wait", "rm", "port"])
      expect(`${verb} ${(await outcome(verb, "nobody"))[0]}`).toBe(`${verb} 1`);
    if (client === "lighter") {
      expect(await outcome("port", name, "x")).toEqual([
        1,
        expect.stringContaining('invalid port (x): strconv.ParseUint: parsing "x": invalid syntax'),
      ]);
      expect(await outcome("port", name, "70000")).toEqual([1, expect.stringContaining("value out of range")]);
      expect(await outcome("port", name, "80-81")).toEqual([1, expect.stringContaining("invalid syntax")]);
    }
    expect(await outcome("port", name, "80/foo")).toEqual([1, expect.stringContaining("No public port '80/foo' published for")]);
    await docker.must("rm", "-f", name);
  });
}
