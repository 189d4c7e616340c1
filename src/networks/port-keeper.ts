import { rmSync } from "node:fs";
import { closeFd } from "../linux/fd.ts";
import { libc } from "../linux/libc.ts";
import { nativeProgram } from "../linux/native-program.ts";
import { connectPackets, listenPackets, receivePacket, sendDescriptors } from "../linux/packet-socket.ts";
import { posixSpawn } from "../linux/posix-spawn.ts";
import { sealedCopy } from "../linux/sealed-program.ts";
import type { HostPort } from "./port-sockets.ts";
import source from "./port-keeper.c" with { type: "text" };
import { KEEPER, type KeeperAnswer, type KeptPort, MESSAGE_BYTES, RECORDS, keeperAnswer, keeperMessage } from "./port-records.ts";

/** How long the keeper may take to answer, in ms: it does so at once, except on a machine that stands still. */
const PATIENCE = 5000;
/** How long flows of datagrams are kept after the last one, in ms. */
const FLOW_PATIENCE = 90_000;
const BACKLOG = 16;
/** A keeper that ends at this moment is followed by another. */
const TRIES = 3;
/** What the kernel says of a keeper that has ended meanwhile. */
const GONE = ["ECONNRESET", "EPIPE", "ENOTCONN"];

/** Of the program: one of another version is replaced. */
export const KEEPER_VERSION = new DataView(new Bun.CryptoHasher("sha256").update(source).digest().buffer).getUint32(0, true);

/**
 * Hands ports to the keeper, which is started when there is none, and takes others from it; the answer's records are those that it could not take. Blocks its
 * thread. Undefined when there is none and none is needed.
 */
export function changeKept(path: string, change: { add: readonly KeptPort[]; remove: readonly HostPort[] }): KeeperAnswer | undefined {
  for (let tries = 1; ; tries++) {
    const fd = connectOrStart(
      path,
      change.add.some(({ socket }) => socket !== undefined),
    );
    if (fd === undefined) return undefined;
    try {
      let answer = exchange(
        fd,
        KEEPER.remove,
        change.remove.map(({ protocol, hostAddress, hostPort }) => ({ protocol, hostAddress, hostPort })),
      );
      if (change.add.length > 0) answer = exchange(fd, KEEPER.add, change.add);
      // It ends by itself.
      if (answer.ports === 0) rmSync(path, { force: true });
      return answer;
    } catch (error) {
      if (tries === TRIES) throw error;
    } finally {
      closeFd(fd);
    }
  }
}

/**
 * What a keeper of an earlier daemon keeps; one of another version is told to end with its last connection, and keeps nothing any more. Throws ETIMEDOUT where one
 * is there and does not answer within `patience` ms.
 */
export function findKept(path: string, patience = PATIENCE): KeeperAnswer | undefined {
  const fd = connectTo(path);
  if (fd === undefined) return undefined;
  try {
    if (exchange(fd, KEEPER.hello, [], patience).version === KEEPER_VERSION) return list(fd, patience);
    exchange(fd, KEEPER.retire, [], patience);
    rmSync(path, { force: true });
  } catch (error) {
    if (!GONE.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    closeFd(fd);
  }
  return undefined;
}

function connectOrStart(path: string, needed: boolean): number | undefined {
  const fd = connectTo(path);
  if (fd !== undefined || !needed) return fd;
  rmSync(path, { force: true });
  const listener = listenPackets(path, BACKLOG);
  try {
    // Its first caller is there before it is, so that it knows that somebody needs it.
    const client = connectPackets(path);
    startKeeper(listener);
    return client;
  } finally {
    closeFd(listener);
  }
}

function connectTo(path: string): number | undefined {
  try {
    return connectPackets(path);
  } catch (error) {
    if (["ENOENT", "ECONNREFUSED"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

let program: number | undefined;

/** Compiles the program, which takes 10 ms and more: the first published port need not wait for it. */
export function prepareKeeper(): number {
  return (program ??= sealedCopy("lighter-ports", nativeProgram(source)));
}

/** Starts the program out of memory; it makes itself nobody's child, and what was started ends at once. */
export function startKeeper(listener: number, version = KEEPER_VERSION): void {
  const path = `/proc/${process.pid}/fd/${prepareKeeper()}`;
  const argv = ["lighter-ports", String(version), String(FLOW_PATIENCE)];
  const pid = posixSpawn({ path, argv, env: [], cwd: "/", fds: [listener] });
  libc().waitpid(pid, new Int32Array(1), 0);
}

function exchange(fd: number, operation: number, ports: readonly KeptPort[], patience = PATIENCE): KeeperAnswer {
  let answer: KeeperAnswer | undefined;
  const records: HostPort[] = [];
  for (let at = 0; at === 0 || at < ports.length; at += RECORDS) {
    const some = ports.slice(at, at + RECORDS);
    const sockets = some.flatMap(({ socket }) => (socket === undefined ? [] : [socket]));
    sendDescriptors(fd, keeperMessage(operation, some), sockets);
    answer = receive(fd, patience);
    records.push(...answer.records);
  }
  return { ...(answer ?? receive(fd, patience)), records };
}

function list(fd: number, patience: number): KeeperAnswer {
  const records: HostPort[] = [];
  for (let from = 0; ;) {
    sendDescriptors(fd, keeperMessage(KEEPER.list, [], from), []);
    const answer = receive(fd, patience);
    if (answer.records.length === 0) return { ...answer, records };
    records.push(...answer.records);
    from = answer.next;
  }
}

function receive(fd: number, patience: number): KeeperAnswer {
  const packet = receivePacket(fd, new Uint8Array(MESSAGE_BYTES), patience);
  if (packet.length === 0) throw Object.assign(new Error("the keeper of ports has ended"), { code: "ECONNRESET" });
  return keeperAnswer(packet);
}
