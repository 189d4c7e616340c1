import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "../base/ids.ts";
import { logOf } from "../base/log.ts";
import { signalPid } from "../linux/process.ts";
import { State } from "../state/state.ts";
import { type Context, heldOf } from "./context.ts";
import { KeptPorts } from "./kept-ports.ts";
import { changeKept, findKept } from "./port-keeper.ts";
import { keeperSocket } from "./port-records.ts";
import { type HostPort, dropPort, holdPort } from "./port-sockets.ts";
import { insertPort } from "./rows.ts";

const SIGKILL = 9;
const SIGCONT = 18;
const SIGSTOP = 19;

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0).reverse()) close();
});

/** What the keeper of ports needs of the part: rows, and the real process. `known` are the containers that others know of. */
function makeContext(known: ReadonlySet<string>): Context & { path: string } {
  const folder = mkdtempSync(join(tmpdir(), "lighter-kept-"));
  const state = new State(join(folder, "state.db"));
  const path = keeperSocket(folder);
  const jobs = {
    keepPorts: (change: Parameters<typeof changeKept>[1]) => changeKept(path, change),
    keptPorts: () => findKept(path, 50),
    prepareKeeper: () => 0,
  };
  const context = {
    state,
    path,
    // The jobs as they are, without their thread.
    kernel: { do: async (job: keyof typeof jobs, asked: never) => await Promise.resolve(jobs[job](asked)) },
    options: { execRoot: folder },
    log: logOf("networks"),
    held: new Map(),
    lost: new Map(),
    open: new Set<string>(),
    needs: {
      placeHelper: () => undefined,
      container: (id: string) => {
        if (!known.has(id)) throw new Error(`No such container: ${id}`);
        return { id, name: id, pid: undefined };
      },
    },
  } as unknown as Context & { path: string };
  context.keeper = new KeptPorts(() => context);
  open.push(() => {
    context.keeper.close();
    for (const { sockets } of context.held.values()) for (const { fd } of sockets) dropPort(fd);
    const pid = pidOf(path);
    if (pid !== undefined) signalPid(pid, SIGKILL);
    state.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return context;
}

function pidOf(path: string): number | undefined {
  return findKept(path)?.pid;
}

/** A container's row with a published port, whose socket is answered. */
function publish(context: Context, container: string): HostPort & { fd: number } {
  for (;;) {
    const port: HostPort = { protocol: "tcp", hostAddress: "127.0.0.1", hostPort: 20000 + Math.floor(Math.random() * 12000) };
    const fd = holdPort(port);
    if (typeof fd === "string") continue;
    context.state.write(
      (tx) => {
        tx.run(
          "INSERT INTO containers (id, name, created, config_json, image, manifest, runtime, status) VALUES (?, ?, 1, '{}', 'i', 'm', 'crun', 'running')",
          container,
          container,
        );
        insertPort(tx, { ...port, container, containerPort: 80, endpoint: undefined });
      },
      { durable: false },
    );
    context.open.add(container);
    return { ...port, fd };
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1500; tries++) {
    if (condition()) return;
    await Bun.sleep(20);
  }
  throw new Error(`${what}: did not happen within 30 s`);
}

test("a port that cannot be told of keeps no other from being held, at the start and after the keeper's death", async () => {
  const web = newId();
  const context = makeContext(new Set([web]));
  const taken = publish(context, newId());
  open.push(() => dropPort(taken.fd));
  dropPort(publish(context, web).fd);
  await context.keeper.adopt();
  expect(findKept(context.path)?.ports).toBe(1);
  const before = context.keeper.pid;
  signalPid(before, SIGKILL);
  await until("another one keeps the port", () => context.keeper.pid !== before && context.keeper.pid !== 0);
  expect(findKept(context.path)).toMatchObject({ pid: context.keeper.pid, ports: 1 });
});

test("a keeper that does not answer is asked again, and its ports are not lost meanwhile", async () => {
  const web = newId();
  const context = makeContext(new Set([web]));
  const port = publish(context, web);
  const pid = changeKept(context.path, { add: [{ ...port, socket: port.fd }], remove: [] })?.pid ?? 0;
  dropPort(port.fd);
  signalPid(pid, SIGSTOP);
  open.push(() => signalPid(pid, SIGCONT));
  await context.keeper.adopt();
  expect(context.keeper.has(port)).toBe(false);
  expect([...context.lost]).toEqual([]);
  signalPid(pid, SIGCONT);
  await until("it is found", () => context.keeper.has(port));
  expect(context.keeper.pid).toBe(pid);
  expect(context.state.all("SELECT * FROM events")).toEqual([]);
});

test("ports that the keeper has no room for stay with the daemon", async () => {
  const names = Array.from({ length: 16 }, () => newId());
  const context = makeContext(new Set(names));
  const ports = names.map((name) => {
    const port = publish(context, name);
    heldOf(context, name).sockets.push(port);
    return port;
  });
  await context.keeper.hand(names[0] ?? "");
  expect(Bun.spawnSync(["prlimit", `--pid=${context.keeper.pid}`, "--nofile=20:20"]).exitCode).toBe(0);
  for (const name of names.slice(1)) await context.keeper.hand(name);
  expect(ports.filter((port) => context.keeper.has(port)).length).toBeWithin(5, 16);
  for (const port of ports) expect(holdPort(port)).toBe("EADDRINUSE");
});
