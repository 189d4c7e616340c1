import { chmodSync, chownSync, lstatSync, readFileSync, unlinkSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import type { Address, TlsOptions } from "./address.ts";
import { Connection } from "./connection.ts";
import { serve, type Handler } from "./serve.ts";

/** An open door. */
export interface Listener extends AsyncDisposable {
  readonly address: Address;
  /** The port in use (for port 0); undefined for unix sockets. */
  readonly port: number | undefined;
  /** Connections that are open now. */
  readonly connections: number;
  /** Lets nobody in any more and drops those who are inside. Removes the socket file. */
  close(): Promise<void>;
}

/** Who answers, and who may come in. */
export interface ListenOptions {
  handler: Handler;
  /** Group of the unix socket, by name; ignored where the host has no such group. Default `docker`. */
  group?: string;
}

/**
 * Listens for HTTP/1.x requests. A unix socket gets mode 0660; a stale socket file is replaced, one with a listener is `conflict`.
 * Throws `conflict` for an address in use and `invalid` for one that cannot be had.
 */
export async function listen(address: Address, options: ListenOptions): Promise<Listener> {
  const connections = new Set<Connection>();
  const bare = address.kind === "unix" || address.tls === undefined;
  const socket = {
    open(raw: Bun.Socket<Connection>) {
      const connection = new Connection(raw, { bare });
      raw.data = connection;
      connections.add(connection);
      serve(connection, options.handler);
    },
    data: (raw: Bun.Socket<Connection>, bytes: Buffer) => raw.data.received(bytes),
    drain: (raw: Bun.Socket<Connection>) => raw.data.writable(),
    end: (raw: Bun.Socket<Connection>) => raw.data.finished(),
    close(raw: Bun.Socket<Connection>) {
      connections.delete(raw.data);
      raw.data.lost();
    },
    error: (raw: Bun.Socket<Connection>) => raw.data?.destroy(),
  };
  const server =
    address.kind === "unix" ? await listenUnix(address.path) : address.kind === "passed" ? listenPassed(address) : listenTcp(address);
  const inode = address.kind === "unix" ? finishUnix(address.path, options.group ?? "docker") : undefined;

  async function listenUnix(path: string): Promise<Bun.UnixSocketListener<Connection>> {
    await removeStale(path);
    try {
      return Bun.listen<Connection>({ unix: path, allowHalfOpen: true, socket });
    } catch (cause) {
      throw cannotListen(path, cause);
    }
  }

  function listenTcp(at: Extract<Address, { kind: "tcp" }>): Bun.TCPSocketListener<Connection> {
    const { hostname, port, tls } = at;
    const secured = tls && securedBy(tls);
    try {
      return Bun.listen<Connection>({ hostname, port, allowHalfOpen: true, socket, ...(secured && { tls: secured }) });
    } catch (cause) {
      throw cannotListen(`${hostname}:${port}`, cause);
    }
  }

  function listenPassed({ fd, tls }: Extract<Address, { kind: "passed" }>): Bun.TCPSocketListener<Connection> {
    const secured = tls && securedBy(tls);
    try {
      return Bun.listen<Connection>({ fd, allowHalfOpen: true, socket, ...(secured && { tls: secured }) } as unknown as ByDescriptor);
    } catch (cause) {
      throw cannotListen(`fd://${fd}`, cause);
    }
  }

  async function close(): Promise<void> {
    server.stop();
    for (const connection of connections) connection.destroy();
    if (address.kind === "unix" && inodeOf(address.path) === inode) unlinkSync(address.path);
    await Promise.all([...connections].map((connection) => connection.closed));
  }

  return {
    address,
    port: address.kind === "passed" ? address.port : "port" in server ? server.port : undefined,
    get connections() {
      return connections.size;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Bun takes a descriptor that listens, which its types do not say. */
type ByDescriptor = Bun.TCPSocketListenOptions<Connection>;

function securedBy(tls: TlsOptions): Bun.TLSOptions {
  return { ...tls, ...(tls.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true }) };
}

function cannotListen(where: string, cause: unknown): LighterError {
  const { code, message } = cause as { code?: string; message: string };
  if (code === "EADDRINUSE") return new LighterError("conflict", `Cannot listen on "${where}": address already in use`, { cause });
  return new LighterError("invalid", `Cannot listen on "${where}": ${message}`, { cause });
}

/** Removes a socket file that nobody listens on. */
async function removeStale(path: string): Promise<void> {
  if (inodeOf(path) === undefined) return;
  if (!lstatSync(path).isSocket()) throw new LighterError("conflict", `Cannot listen on "${path}": the file exists and is not a socket`);
  try {
    const probe = await Bun.connect({ unix: path, socket: { data: () => {} } });
    probe.terminate();
  } catch {
    unlinkSync(path);
    return;
  }
  throw new LighterError("conflict", `Cannot listen on "${path}": another daemon listens there`);
}

function finishUnix(path: string, group: string): number | undefined {
  const gid = groupId(group);
  if (gid !== undefined && process.getuid?.() === 0) chownSync(path, 0, gid);
  chmodSync(path, 0o660);
  return inodeOf(path);
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}

/** A group's number by its name or number; undefined for one that this host has not. */
export function groupId(name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  let groups: string;
  try {
    groups = readFileSync("/etc/group", "utf8");
  } catch {
    return undefined;
  }
  const line = groups.split("\n").find((text) => text.startsWith(`${name}:`));
  return line === undefined ? undefined : Number(line.split(":")[2]);
}
