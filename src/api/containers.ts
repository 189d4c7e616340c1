import { LighterError, messageOf } from "../base/errors.ts";
import type { CreateBody } from "../containers/containers.ts";
import { done, json, orNull, param, type Answer, type Call } from "./call.ts";
import { createBody } from "./create-body.ts";
import { readJson } from "./read-json.ts";
import { terminalSize } from "./resize.ts";

/** `docker ps`. */
export async function list(call: Call): Promise<Answer> {
  const { query } = call;
  const limit = query.integer("limit") ?? 0;
  return json(
    await call.engine.containers.list({
      all: query.flag("all"),
      size: query.flag("size"),
      filters: query.filters(LIST_FILTERS),
      ...(limit > 0 && { limit }),
    }),
  );
}

/** The filters of `ps`. */
const LIST_FILTERS = [
  "ancestor",
  "before",
  "exited",
  "expose",
  "health",
  "id",
  "is-task",
  "isolation",
  "label",
  "label!",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume",
];

/** Makes a container; 201 with its id and warnings. */
export async function create(call: Call): Promise<Answer> {
  return json(await makeContainer(call), 201);
}

/** Makes the container of a create's query and body. */
export async function makeContainer(call: Call): Promise<{ Id: string; Warnings: string[] }> {
  const body = await readJson<CreateBody & { MacAddress?: string }>(call, createBody);
  if (body === undefined || Object.keys(body).length === 0) {
    throw new LighterError("invalid", "config cannot be empty in order to create a container");
  }
  delete body.MacAddress; // versions.ts has moved it for those who may say it so
  completeBindings(body.HostConfig?.PortBindings ?? {});
  const { query, signal } = call;
  const platform = query.text("platform");
  const { id, warnings } = await call.engine.containers.create(query.text("name"), body, { signal, ...(platform && { platform }) });
  return { Id: id, Warnings: [...warnings, ...call.warnings] };
}

/** A port without bindings is not published; a binding is shown with both of its fields. */
function completeBindings(ports: Record<string, { HostIp?: string; HostPort?: string }[] | null>): void {
  for (const [port, bindings] of Object.entries(ports)) {
    if (bindings === null || bindings.length === 0) delete ports[port];
    else ports[port] = bindings.map(({ HostIp = "", HostPort = "" }) => ({ HostIp, HostPort }));
  }
}

/** Everything about one container. */
export async function inspect(call: Call): Promise<Answer> {
  return json(await call.engine.containers.inspect(param(call, "id"), { size: call.query.flag("size") }));
}

/** Starts a container; 304 when it runs already. A body is refused, as since 1.24. */
export async function start(call: Call): Promise<Answer> {
  if ((call.body.length ?? 0) > 7) {
    throw new LighterError("invalid", "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24");
  }
  const { query } = call;
  const checkpoint = query.text("checkpoint");
  if (checkpoint !== undefined && !call.engine.experimental)
    throw new LighterError("invalid", "checkpoint is only supported in experimental mode");
  const directory = query.text("checkpoint-dir");
  await call.engine.containers.start(
    param(call, "id"),
    checkpoint === undefined ? {} : { checkpoint: { id: checkpoint, ...(directory === undefined ? {} : { directory }) } },
  );
  return done();
}

/** Stops a container; 304 when it does not run. */
export async function stop(call: Call): Promise<Answer> {
  await call.engine.containers.stop(param(call, "id"), stopOptions(call));
  return done();
}

/** Stops and starts a container. */
export async function restart(call: Call): Promise<Answer> {
  await call.engine.containers.restart(param(call, "id"), stopOptions(call));
  return done();
}

function stopOptions(call: Call): { timeout?: number; signal?: string } {
  const timeout = call.query.integer("t");
  const signal = call.query.text("signal");
  return { ...(timeout !== undefined && { timeout }), ...(signal !== undefined && { signal }) };
}

/** Sends a signal. */
export async function kill(call: Call): Promise<Answer> {
  await call.engine.containers.kill(param(call, "id"), call.query.text("signal") ?? "SIGKILL");
  return done();
}

/** Freezes all processes. */
export async function pause(call: Call): Promise<Answer> {
  await call.engine.containers.pause(param(call, "id"));
  return done();
}

/** Thaws all processes. */
export async function unpause(call: Call): Promise<Answer> {
  await call.engine.containers.unpause(param(call, "id"));
  return done();
}

/** Gives a container another name. */
export async function rename(call: Call): Promise<Answer> {
  const name = call.query.text("name");
  if (name === undefined) throw new LighterError("invalid", "Neither old nor new names may be empty");
  await call.engine.containers.rename(param(call, "id"), name);
  return done();
}

/** Removes a container, with `v` its anonymous volumes too. */
export async function remove(call: Call): Promise<Answer> {
  const { query } = call;
  await call.engine.containers.remove(param(call, "id"), {
    force: query.flag("force"),
    volumes: query.flag("v"),
    link: query.flag("link"),
  });
  return done();
}

/** Sets the terminal's size. */
export function resize(call: Call): Answer {
  call.engine.containers.resize(param(call, "id"), terminalSize(call));
  return done(200);
}

const CONDITIONS = ["not-running", "next-exit", "removed"] as const;

/** The head is sent at once, so that the client knows that it waits from now on; the code follows when the condition holds. Before 1.30 both come then. */
export async function wait(call: Call): Promise<Answer> {
  const { signal } = call;
  const text = call.query.text("condition") ?? "not-running";
  const condition = CONDITIONS.find((known) => known === text);
  if (condition === undefined) throw new LighterError("invalid", `invalid condition: "${text}"`);
  const { result, cancel } = call.engine.containers.wait(param(call, "id"), condition);
  signal.addEventListener("abort", cancel, { once: true });
  const answer = result
    .catch((error: unknown) => ({ statusCode: -1, error: messageOf(error) }))
    .then((ended) => waitAnswer(call.version, condition, ended))
    .finally(() => signal.removeEventListener("abort", cancel));
  const headers = { "Content-Type": "application/json" };
  if (call.version < 30) return { status: 200, headers, text: await answer };
  return { status: 200, headers, stream: async (out) => void out.write(await answer) };
}

/** Before 1.34 a removal that failed was told by saying nothing, before 1.42 there was always an `Error`. */
function waitAnswer(version: number, condition: string, { statusCode, error }: { statusCode: number; error?: string }): string {
  if (version < 34 && condition === "removed" && error !== undefined) return "";
  const told = error === undefined ? (version < 42 ? { Error: null } : {}) : { Error: { Message: error } };
  return `${JSON.stringify({ StatusCode: statusCode, ...told })}\n`;
}

/** The processes, as `ps` shows them. */
export async function top(call: Call): Promise<Answer> {
  return json(await call.engine.containers.top(param(call, "id"), call.query.text("ps_args") ?? "-ef"));
}

/** What the container changed in its root file system. */
export async function changes(call: Call): Promise<Answer> {
  return json(orNull(await call.engine.containers.changes(param(call, "id"))));
}

/** Removes all stopped containers. */
export async function prune(call: Call): Promise<Answer> {
  const { deleted, bytes } = await call.engine.containers.prune(call.query.filters(["label", "label!", "until"]));
  return json({ ContainersDeleted: orNull(deleted), SpaceReclaimed: bytes });
}
