import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createSocket, type Socket as Datagrams } from "node:dgram";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeFd } from "../linux/fd.ts";
import { connectPackets, listenPackets } from "../linux/packet-socket.ts";
import { signalPid } from "../linux/process.ts";
import { changeKept, findKept, startKeeper } from "./port-keeper.ts";
import { type KeptPort, keeperSocket } from "./port-records.ts";
import { type HostPort, dropPort, holdPort } from "./port-sockets.ts";

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0).reverse()) close();
});

/** A keeper of its own: ended with the test, whatever becomes of it. */
function keeperPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "lighter-keeper-"));
  open.push(() => {
    const pid = pids.get(keeperSocket(folder));
    if (pid !== undefined) signalPid(pid, 9);
    rmSync(folder, { recursive: true, force: true });
  });
  return keeperSocket(folder);
}
const pids = new Map<string, number>();

/** A free port of an address, held by a socket. */
function held(protocol: HostPort["protocol"], hostAddress: string): HostPort & { socket: number } {
  for (let tries = 0; tries < 100; tries++) {
    const port = { protocol, hostAddress, hostPort: 20000 + Math.floor(Math.random() * 12000) };
    const socket = holdPort(port);
    if (typeof socket === "number") return { ...port, socket };
  }
  throw new Error("there is no free port");
}

/** Hands ports over as the daemon does: its own descriptors are closed afterwards. */
function hand(path: string, ...ports: KeptPort[]): void {
  const answer = changeKept(path, { add: ports, remove: [] });
  if (answer !== undefined) pids.set(path, answer.pid);
  for (const { socket } of ports) if (socket !== undefined) dropPort(socket);
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1500; tries++) {
    if (condition()) return;
    await Bun.sleep(10);
  }
  throw new Error(`${what}: did not happen within 15 s`);
}

async function server(serve: (socket: Socket) => void): Promise<number> {
  const listener: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  open.push(() => listener.close());
  return (listener.address() as AddressInfo).port;
}

/** Sends all of it, ends its own side, and takes what comes until the other side ends. */
async function talk(port: HostPort, data: Uint8Array): Promise<Buffer> {
  const parts: Buffer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = connect({ host: port.hostAddress, port: port.hostPort, allowHalfOpen: true }, () => socket.end(data));
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.on("end", () => resolve(Buffer.concat(parts)));
  socket.on("error", reject);
  open.push(() => socket.destroy());
  return await promise;
}

const echo = (socket: Socket): void => {
  socket.on("data", (part) => {
    if (!socket.write(part)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("end", () => socket.end("that was all"));
};

test("a connection to [::1] reaches a server that knows IPv4 alone; each side ends by itself", async () => {
  const target = { address: "127.0.0.1", port: await server(echo) };
  const path = keeperPath();
  const port = held("tcp", "::1");
  hand(path, { ...port, target });
  const data = crypto.getRandomValues(new Uint8Array(65536));
  const much = Buffer.concat(Array.from({ length: 64 }, () => data));
  expect((await talk(port, much)).equals(Buffer.concat([much, Buffer.from("that was all")]))).toBe(true);
  expect((await talk(port, new Uint8Array())).toString()).toBe("that was all");
});

test("many connections at once are each their own, and cost no memory of the keeper's", async () => {
  const target = { address: "127.0.0.1", port: await server(echo) };
  const path = keeperPath();
  const port = held("tcp", "127.0.0.1");
  hand(path, { ...port, target });
  const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => talk(port, Buffer.from(`connection ${index} `))));
  expect(answers.map(String)).toEqual(Array.from({ length: 200 }, (_, index) => `connection ${index} that was all`));
  const rollup = readFileSync(`/proc/${pids.get(path)}/smaps_rollup`, "utf8");
  expect(Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1])).toBeLessThan(600);
});

test("who is not read from is slowed down, and loses nothing", async () => {
  let taken = 0;
  const waiting: Socket[] = [];
  const target = {
    address: "127.0.0.1",
    port: await server((socket) => {
      socket.pause();
      waiting.push(socket);
      socket.on("data", (part) => (taken += part.length));
      socket.on("end", () => socket.end());
    }),
  };
  const path = keeperPath();
  const port = held("tcp", "127.0.0.1");
  hand(path, { ...port, target });
  const size = 48 << 20;
  const sent = talk(port, new Uint8Array(size));
  await until("the connection is there", () => waiting.length === 1);
  await Bun.sleep(100);
  expect(taken).toBe(0);
  const rollup = readFileSync(`/proc/${pids.get(path)}/smaps_rollup`, "utf8");
  expect(Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1])).toBeLessThan(600);
  waiting[0]?.resume();
  await sent;
  expect(taken).toBe(size);
});

test("a server that is not there is told by a reset, and one that resets is passed on", async () => {
  const path = keeperPath();
  const port = held("tcp", "::1");
  hand(path, { ...port, target: { address: "127.0.0.1", port: 1 } });
  expect(((await talk(port, new Uint8Array(1)).catch((error: unknown) => error)) as NodeJS.ErrnoException).code).toBe("ECONNRESET");
  hand(path, {
    ...port,
    socket: undefined,
    target: { address: "127.0.0.1", port: await server((socket) => void socket.resetAndDestroy()) },
  });
  expect(((await talk(port, new Uint8Array(1)).catch((error: unknown) => error)) as NodeJS.ErrnoException).code).toBe("ECONNRESET");
});

test("a connection whose server has ended and is gone does not stay with a client that is silent", async () => {
  const path = keeperPath();
  const port = held("tcp", "::1");
  const served: Socket[] = [];
  const target = {
    address: "127.0.0.1",
    port: await server((socket) => {
      served.push(socket);
      socket.end("goodbye");
    }),
  };
  hand(path, { ...port, target });
  const heard: string[] = [];
  for (let index = 0; index < 20; index++) {
    const client = connect({ host: port.hostAddress, port: port.hostPort, allowHalfOpen: true });
    client.on("data", (part: Buffer) => heard.push(part.toString()));
    client.on("error", () => undefined);
    open.push(() => client.destroy());
  }
  await until("all have the answer", () => heard.length === 20 && served.every((socket) => socket.writableFinished));
  expect(changeKept(path, { add: [], remove: [] })?.connections).toBe(20);
  for (const socket of served) socket.resetAndDestroy();
  await until("all are ended", () => changeKept(path, { add: [], remove: [] })?.connections === 0);
});

async function datagrams(
  family: "udp4" | "udp6",
  address: string,
  taken: (text: string, from: { address: string; port: number }, socket: Datagrams) => void,
): Promise<Datagrams> {
  const socket = createSocket(family);
  socket.on("message", (message, from) => taken(message.toString(), from, socket));
  await new Promise<void>((resolve) => socket.bind(0, address, resolve));
  open.push(() => socket.close());
  return socket;
}

test("datagrams find their way back to each sender, from the address that they were sent to", async () => {
  const back = await datagrams("udp4", "127.0.0.1", (text, from, socket) => socket.send(`${text}!`, from.port, from.address));
  const path = keeperPath();
  for (const [family, wildcard, address] of [
    ["udp4", "0.0.0.0", "127.0.0.3"],
    ["udp6", "::", "::1"],
  ] as const) {
    const port = held("udp", wildcard);
    hand(path, { ...port, target: { address: "127.0.0.1", port: back.address().port } });
    const heard = new Map<number, string>();
    const senders = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        datagrams(family, family === "udp4" ? "127.0.0.1" : "::1", (text, from) =>
          heard.set(index, `${text} ${from.address} ${from.port}`),
        ),
      ),
    );
    senders.forEach((sender, index) => sender.send(`from ${index}`, port.hostPort, address));
    await until("all are answered", () => heard.size === senders.length);
    senders.forEach((_, index) => expect(heard.get(index)).toBe(`from ${index}! ${address} ${port.hostPort}`));
  }
});

test("who asked everybody is answered by the host's own address", async () => {
  const back = await datagrams("udp4", "127.0.0.1", (text, from, socket) => socket.send(`${text}!`, from.port, from.address));
  const path = keeperPath();
  const port = held("udp", "0.0.0.0");
  hand(path, { ...port, target: { address: "127.0.0.1", port: back.address().port } });
  const heard: string[] = [];
  const sender = await datagrams("udp4", "127.0.0.1", (text, from) => heard.push(`${text} ${from.address} ${from.port}`));
  sender.setBroadcast(true);
  sender.send("who is there", port.hostPort, "127.255.255.255");
  await until("it is answered", () => heard.length > 0);
  expect(heard).toEqual([`who is there! 127.0.0.1 ${port.hostPort}`]);
});

test("a port that leads elsewhere does so for datagrams of old senders, too", async () => {
  const path = keeperPath();
  const port = held("udp", "127.0.0.1");
  const heard: string[] = [];
  const sender = await datagrams("udp4", "127.0.0.1", (text) => heard.push(text));
  for (const name of ["first", "second"]) {
    const back = await datagrams("udp4", "127.0.0.1", (_, from, socket) => socket.send(name, from.port, from.address));
    hand(path, { ...port, ...(name === "second" && { socket: undefined }), target: { address: "127.0.0.1", port: back.address().port } });
    sender.send("x", port.hostPort, "127.0.0.1");
    await until(`${name} answers`, () => heard.includes(name));
  }
});

test("many senders to one port do not end what others say to another", async () => {
  let heard = 0;
  const busy = await datagrams("udp4", "127.0.0.1", () => heard++);
  const sources: number[] = [];
  const quiet = await datagrams("udp4", "127.0.0.1", (_, from) => sources.push(from.port));
  const path = keeperPath();
  const [asked, flooded] = [held("udp", "127.0.0.1"), held("udp", "0.0.0.0")];
  hand(path, { ...asked, target: { address: "127.0.0.1", port: quiet.address().port } });
  limitDescriptors(path, 400);
  hand(path, { ...flooded, target: { address: "127.0.0.1", port: busy.address().port } });
  const sender = await datagrams("udp4", "127.0.0.1", () => undefined);
  sender.send("first", asked.hostPort, "127.0.0.1");
  await until("it is heard", () => sources.length === 1);
  // Each address of ours that is asked is another conversation.
  for (let index = 1; index <= 300; index++) {
    sender.send("x", flooded.hostPort, `127.3.${index >> 8}.${index & 255}`);
    if (index % 10 === 0) await until("they are heard", () => heard === index);
  }
  sender.send("second", asked.hostPort, "127.0.0.1");
  await until("it is heard again", () => sources.length === 2);
  expect(sources[1]).toBe(sources[0]);
});

test("it is found by who comes later, lets ports go, and ends with the last one", async () => {
  const path = keeperPath();
  expect(findKept(path)).toBeUndefined();
  expect(changeKept(path, { add: [], remove: [held("tcp", "127.0.0.1")] })).toBeUndefined();
  const ports = Array.from({ length: 150 }, (_, index) => held(index % 2 === 0 ? "tcp" : "udp", "127.0.0.1"));
  hand(path, ...ports);
  const found = findKept(path);
  const names = (list: readonly HostPort[]): string[] => list.map(({ protocol, hostPort }) => `${protocol} ${hostPort}`).toSorted();
  expect(names(found?.records ?? [])).toEqual(names(ports));
  expect(found?.pid).toBe(pids.get(path) ?? 0);
  for (const port of ports) expect(holdPort(port)).toBe("EADDRINUSE");
  const [first, ...rest] = ports;
  expect(changeKept(path, { add: [], remove: rest })?.ports).toBe(1);
  const again = holdPort(rest[0] ?? held("tcp", "127.0.0.1"));
  expect(again).toBeNumber();
  dropPort(Number(again));
  expect(changeKept(path, { add: [], remove: first === undefined ? [] : [first] })?.ports).toBe(0);
  await until("it has ended", () => !isRunning(found?.pid ?? 0));
  expect(findKept(path)).toBeUndefined();
  const next = held("tcp", "127.0.0.1");
  hand(path, next);
  expect(pids.get(path)).not.toBe(found?.pid);
});

test("thousands of ports are found again, more than fit into its socket at once", () => {
  const path = keeperPath();
  const port = held("udp", "127.0.0.1");
  const ports = Array.from({ length: 4300 }, (_, index) => ({ ...port, hostAddress: `127.1.${index >> 8}.${index & 255}` }));
  const answer = changeKept(path, { add: ports, remove: [] });
  pids.set(path, answer?.pid ?? 0);
  dropPort(port.socket);
  const found = findKept(path);
  expect(found?.ports).toBe(4300);
  expect(new Set(found?.records.map(({ hostAddress }) => hostAddress))).toEqual(new Set(ports.map(({ hostAddress }) => hostAddress)));
});

/** Sets how many descriptors a keeper may have from now on. */
function limitDescriptors(path: string, count: number): void {
  expect(Bun.spawnSync(["prlimit", `--pid=${pids.get(path)}`, `--nofile=${count}:${count}`]).exitCode).toBe(0);
}

test("what it has no descriptors for is told, and it goes on answering", () => {
  const path = keeperPath();
  const port = held("udp", "127.0.0.1");
  hand(path, held("tcp", "127.0.0.1"));
  limitDescriptors(path, 300);
  const ports = Array.from({ length: 500 }, (_, index) => ({ ...port, hostAddress: `127.2.${index >> 8}.${index & 255}` }));
  const answer = changeKept(path, { add: ports, remove: [] });
  dropPort(port.socket);
  const names = (list: readonly HostPort[]): string[] => list.map(({ hostAddress }) => hostAddress);
  expect(answer?.records.length).toBe(501 - (answer?.ports ?? 0));
  expect(answer?.ports).toBeWithin(100, 300);
  expect(new Set([...names(answer?.records ?? []), ...names(findKept(path)?.records ?? [])]).size).toBe(501);
});

test("connections of whoever asks leave room for ports and for the daemon", async () => {
  const target = { address: "127.0.0.1", port: await server(echo) };
  const path = keeperPath();
  const port = held("tcp", "127.0.0.1");
  hand(path, { ...port, target });
  limitDescriptors(path, 400);
  hand(path, { ...port, socket: undefined, target });
  const ended: (() => boolean)[] = [];
  for (let index = 0; index < 200; index++) {
    const socket = connect({ host: port.hostAddress, port: port.hostPort });
    socket.on("error", () => undefined);
    open.push(() => socket.destroy());
    ended.push(() => socket.closed);
  }
  await until("those that are too many are told so", () => ended.filter((isEnded) => isEnded()).length >= 50);
  const more = Array.from({ length: 20 }, () => held("tcp", "127.0.0.1"));
  expect(changeKept(path, { add: more, remove: [] })).toMatchObject({ ports: 21, records: [] });
  for (const { socket } of more) dropPort(socket);
});

test("one that does not answer is not taken for none", () => {
  const path = keeperPath();
  const listener = listenPackets(path, 4);
  expect(() => findKept(path, 50)).toThrow("ETIMEDOUT");
  closeFd(listener);
  expect(findKept(path, 50)).toBeUndefined();
});

test("one that is killed lets its ports go, and the next takes them", async () => {
  const path = keeperPath();
  const port = held("tcp", "127.0.0.1");
  hand(path, port);
  const pid = pids.get(path) ?? 0;
  expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("lighter-ports\n");
  signalPid(pid, 9);
  await until("it has ended", () => !isRunning(pid));
  const socket = holdPort(port);
  expect(socket).toBeNumber();
  hand(path, { ...port, socket: Number(socket) });
  expect(pids.get(path)).not.toBe(pid);
});

test("one of another version lets its ports go, carries its connections to their end, and ends with the last one", async () => {
  const path = keeperPath();
  const port = held("tcp", "127.0.0.1");
  const listener = listenPackets(path, 4);
  const client = connectPackets(path);
  startKeeper(listener, 1);
  closeFd(listener);
  hand(path, { ...port, target: { address: "127.0.0.1", port: await server(echo) } });
  closeFd(client);
  const pid = pids.get(path) ?? 0;
  const parts: string[] = [];
  const socket = connect({ host: port.hostAddress, port: port.hostPort });
  open.push(() => socket.destroy());
  socket.on("data", (part: Buffer) => parts.push(part.toString()));
  socket.write("before");
  await until("the connection is carried", () => parts.join("") === "before");
  expect(findKept(path)).toBeUndefined();
  const again = holdPort(port);
  expect(again).toBeNumber();
  hand(path, { ...port, socket: Number(again) });
  expect(pids.get(path)).not.toBe(pid);
  socket.write(" and after");
  await until("it is carried on", () => parts.join("") === "before and after");
  expect(isRunning(pid)).toBe(true);
  socket.end();
  await until("the old one has ended", () => !isRunning(pid));
});

/** Nobody may collect an orphan here, so that a dead one can stay. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
