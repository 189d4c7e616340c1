import { LighterError, messageOf } from "../base/errors.ts";
import { refuseError } from "./answers.ts";

/** Larger than any blob: the content store's own limit is the disk. */
const MAX_BODY = Number.MAX_SAFE_INTEGER;

/** A client that is busy unpacking may leave an answer alone for so long; a connection that is not used longer than that is closed. */
const IDLE_SECONDS = 240;

/** PEM texts for a listener; with `clientCa`, clients must show a certificate of it. */
export interface TlsMaterial {
  cert: string;
  key: string;
  clientCa?: string;
}

/** A place where the registry listens. */
export interface RegistryListener {
  /** `http://127.0.0.1:5000`, or the path of a unix socket. */
  readonly address: string;
  /** Lets requests under way end, for at most so many milliseconds. */
  stop(grace: number): Promise<void>;
}

/** Takes a request and the address of who sent it. */
export type Serve = (request: Request, address: string | undefined) => Promise<Response>;

/** A host and a port. Throws `invalid`. */
export function parseHostPort(text: string): { hostname: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535)
    throw new LighterError("invalid", `Cannot listen on "${text}": expected HOST:PORT, as 127.0.0.1:5000`);
  return { hostname: bracketed ?? (plain === "" || plain === undefined ? "0.0.0.0" : plain), port: Number(port) };
}

/** Opens a TCP address. Without TLS others than loopback need `plain`. Throws `invalid`, and `conflict` when it is taken. */
export function listenTcp(
  address: string,
  serve: Serve,
  { tls, plain }: { tls: TlsMaterial | undefined; plain: boolean },
): RegistryListener {
  const { hostname, port } = parseHostPort(address);
  if (tls === undefined && !plain && !isLoopback(hostname)) {
    throw new LighterError(
      "invalid",
      `Cannot listen on "${address}": without TLS passwords and images travel in the clear; give --tls (or --tlscert and --tlskey), or insist with --tls=false`,
    );
  }
  const server = attempt(address, () =>
    Bun.serve({ ...served(serve), hostname, port, reusePort: false, ...(tls === undefined ? {} : { tls: tlsOptions(tls) }) }),
  );
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return { address: `${tls === undefined ? "http" : "https"}://${host}:${server.port}`, stop: (grace) => stop(server, grace) };
}

/** On a unix socket Bun does not take a request's own timeout, and would end a long collection after ten seconds; its types know of neither. */
const PATIENT: object = { idleTimeout: 0 };

/** Opens a unix socket; one that a dead process left must be gone. */
export function listenUnix(path: string, serve: Serve): RegistryListener {
  const server = Bun.serve({ ...served(serve), ...PATIENT, unix: path });
  return { address: path, stop: (grace) => stop(server, grace) };
}

function served(serve: Serve) {
  return {
    maxRequestBodySize: MAX_BODY,
    async fetch(request: Request, server: Bun.Server<undefined>): Promise<Response> {
      // However long the answer takes to come about; a body that does not come on is noticed where it is read.
      server.timeout(request, 0);
      const response = await serve(request, server.requestIP(request)?.address);
      server.timeout(request, IDLE_SECONDS);
      return response;
    },
    error: (error: unknown) => refuseError(error),
  };
}

async function stop(server: Bun.Server<undefined>, grace: number): Promise<void> {
  const ended = server.stop(false);
  const timer = setTimeout(() => void server.stop(true), grace);
  try {
    await Promise.race([ended, Bun.sleep(grace + 100)]);
    await server.stop(true);
  } finally {
    clearTimeout(timer);
  }
}

function tlsOptions({ cert, key, clientCa }: TlsMaterial) {
  return { cert, key, ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }) };
}

function attempt<T>(address: string, listen: () => T): T {
  try {
    return listen();
  } catch (cause) {
    const isTaken = (cause as { code?: string }).code === "EADDRINUSE";
    throw new LighterError(
      isTaken ? "conflict" : "invalid",
      `Cannot listen on "${address}": ${isTaken ? "it is in use" : messageOf(cause)}`,
      { cause },
    );
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
