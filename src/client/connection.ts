import { LighterError, messageOf } from "../base/errors.ts";
import { errorOf, newestTaken } from "./answer.ts";
import { connectDuplex } from "./duplex.ts";
import type { Endpoint } from "./endpoint.ts";
import { upgrade, type Hijacked } from "./upgrade.ts";

/** The newest Engine API that this client speaks. */
export const NEWEST_API = "1.56";

/** Values of a query string; undefined ones are left out, lists repeat the key, objects become JSON. */
export type Query = Record<string, string | number | boolean | undefined | readonly string[] | Record<string, unknown>>;

export interface RequestOptions {
  query?: Query;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is: tar streams. Needs {@link Connection.negotiate} before, as it cannot be sent twice. */
  body?: ReadableStream<Uint8Array> | Blob;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export interface ConnectionOptions {
  /** Speak exactly this version and never another one (DOCKER_API_VERSION). */
  version?: string;
  /** Sent with every request (docker's HttpHeaders). */
  headers?: Record<string, string>;
  /** Called once when nothing listens on the socket; the request is made again after it. */
  onAbsent?: () => Promise<void>;
  /** Replaces the sentence of "nobody listens". */
  absentText?: (endpoint: string) => string;
}

/**
 * A daemon's Engine API. It speaks the newest version at once and steps down when the daemon answers that this is too
 * new, so that a daemon of our own age costs no round trip for negotiation.
 */
export class Connection implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly #options: ConnectionOptions;
  #version: string;
  #tunnel: Promise<{ path: string } & AsyncDisposable> | undefined;
  #absent: Promise<void> | undefined;

  constructor(endpoint: Endpoint, options: ConnectionOptions = {}) {
    this.endpoint = endpoint;
    this.#options = options;
    this.#version = options.version ?? NEWEST_API;
  }

  /** The API version spoken now. */
  get version(): string {
    return this.#version;
  }

  /** Asks the daemon what it speaks and steps down to it. Returns the answer's headers. */
  async negotiate(): Promise<Headers> {
    const { headers } = await this.#fetch("HEAD", "/_ping", {});
    const newest = headers.get("api-version");
    if (this.#options.version === undefined && newest !== null && isOlder(newest, this.#version)) this.#version = newest;
    return headers;
  }

  /** Makes a request and returns the answer with its body unread. Throws the daemon's error for status 400 and above. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const spoken = this.#version;
    const versioned = (): string => `/v${this.#version}${path}`;
    const answer = await this.#fetch(method, versioned(), options);
    if (answer.status < 400) return answer;
    if (method === "HEAD" && answer.status === 400 && (await this.#stepDownByPing(spoken))) return this.request(method, path, options);
    const body = await answer.text();
    if (this.#stepDown(answer.status, body, spoken) && options.body === undefined) return this.request(method, path, options);
    throw errorOf(answer.status, body, versioned());
  }

  /** Makes a request and returns the answer's JSON. */
  async json<T>(method: string, path: string, options?: RequestOptions): Promise<T> {
    const answer = await this.request(method, path, options);
    return (await answer.json()) as T;
  }

  /** Makes a request of whose answer only the success matters. Returns its status. */
  async send(method: string, path: string, options?: RequestOptions): Promise<number> {
    const answer = await this.request(method, path, options);
    await answer.arrayBuffer();
    return answer.status;
  }

  /**
   * POSTs a request that takes the connection over: attach, exec start.
   * @param options.sent called as soon as the request is with the kernel: what can be done while the daemon works is done then
   */
  async hijack(path: string, options: Pick<RequestOptions, "query" | "json"> & { sent?: () => void } = {}): Promise<Hijacked> {
    const endpoint = await this.#socketEndpoint();
    const duplex = await connectDuplex(endpoint).catch((error: unknown) => {
      throw this.#unreachable(error);
    });
    const spoken = this.#version;
    const where = `/v${spoken}${path}`;
    const prefix = endpoint.kind === "tcp" ? endpoint.prefix : "";
    const body = options.json === undefined ? undefined : JSON.stringify(options.json);
    const asking = upgrade(duplex, `${prefix}${where}${queryString(options.query)}`, hostOf(endpoint), this.#headers({}), body);
    options.sent?.();
    const answer = await asking;
    if ("read" in answer) return answer;
    if (this.#stepDown(answer.status, answer.body, spoken)) return this.hijack(path, options);
    throw errorOf(answer.status, answer.body, where);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#tunnel)?.[Symbol.asyncDispose]();
  }

  /** Whether a request that spoke a version too new is to be made again; one that ran beside it may have learned of it first. */
  #stepDown(status: number, body: string, spoken: string): boolean {
    const newest = this.#options.version === undefined ? newestTaken(status, body) : undefined;
    if (newest === undefined || newest === spoken) return false;
    this.#version = newest;
    return true;
  }

  /** The answer to a HEAD has no body that could say which version is too new. */
  async #stepDownByPing(spoken: string): Promise<boolean> {
    await this.negotiate();
    return this.#version !== spoken;
  }

  #headers(extra: Record<string, string>): Record<string, string> {
    return { "User-Agent": "Lighter-Client (linux)", ...this.#options.headers, ...extra };
  }

  async #fetch(method: string, path: string, options: RequestOptions): Promise<Response> {
    const endpoint = await this.#socketEndpoint();
    const secure = endpoint.kind === "tcp" && endpoint.tls !== undefined;
    const base =
      endpoint.kind === "tcp" ? `${secure ? "https" : "http"}://${endpoint.host}:${endpoint.port}${endpoint.prefix}` : "http://localhost";
    const init: BunFetchRequestInit & { timeout: false; unix?: string } = { method, timeout: false };
    init.headers = this.#headers(options.headers ?? {});
    if (endpoint.kind === "unix") init.unix = endpoint.path;
    else if (endpoint.tls) {
      const { verify, ...files } = endpoint.tls;
      init.tls = { ...files, rejectUnauthorized: verify };
    }
    if (options.json !== undefined) {
      init.body = JSON.stringify(options.json);
      init.headers = { ...init.headers, "Content-Type": "application/json" };
    } else if (options.body !== undefined) init.body = options.body;
    if (options.signal) init.signal = options.signal;
    const url = `${base}${path}${queryString(options.query)}`;
    try {
      return await fetch(url, init);
    } catch (error) {
      if (options.signal?.aborted) throw new LighterError("cancelled", "the request was cancelled", { cause: error });
      if (!this.#options.onAbsent || this.#absent || !isAbsence(error)) throw this.#unreachable(error);
      this.#absent = this.#options.onAbsent();
      await this.#absent;
      return await this.#fetch(method, path, options);
    }
  }

  async #socketEndpoint(): Promise<Exclude<Endpoint, { kind: "ssh" }>> {
    const endpoint = this.endpoint;
    if (endpoint.kind !== "ssh") return endpoint;
    this.#tunnel ??= import("./ssh.ts").then(({ openSshTunnel }) => openSshTunnel(endpoint));
    return { kind: "unix", path: (await this.#tunnel).path, text: endpoint.text };
  }

  #unreachable(error: unknown): LighterError {
    const text = this.endpoint.text;
    const code = codeOf(error);
    if (code === "EACCES" || code === "EPERM") {
      return new LighterError("forbidden", `permission denied while trying to connect to the docker API at ${text}`, { cause: error });
    }
    if (!isAbsence(error)) {
      return new LighterError("unavailable", `error during connect: ${messageOf(error)}`, { cause: error });
    }
    const sentence =
      this.#options.absentText ?? ((at: string) => `Cannot connect to the Docker daemon at ${at}. Is the docker daemon running?`);
    return new LighterError("unavailable", sentence(text), { cause: error });
  }
}

/** Whether nobody listens at the endpoint, as opposed to a connection that broke. */
function isAbsence(error: unknown): boolean {
  return ["ENOENT", "ECONNREFUSED", "ConnectionRefused", "FailedToOpenSocket", "ENOTSOCK"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}

function hostOf(endpoint: Exclude<Endpoint, { kind: "ssh" }>): string {
  return endpoint.kind === "tcp" ? `${endpoint.host}:${endpoint.port}` : "localhost";
}

/** Whether API version `a` is older than `b`. */
export function isOlder(a: string, b: string): boolean {
  const [aMajor = 0, aMinor = 0] = a.split(".").map(Number);
  const [bMajor = 0, bMinor = 0] = b.split(".").map(Number);
  return aMajor < bMajor || (aMajor === bMajor && aMinor < bMinor);
}

/** `?a=1&b=2`, or nothing. Booleans are `1` and `0` as docker sends them. */
export function queryString(query: Query | undefined): string {
  const pairs: string[] = [];
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? (value as string[]) : [value]) pairs.push(`${key}=${encodeURIComponent(wire(one))}`);
  }
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

function wire(value: unknown): string {
  if (typeof value === "boolean") return value ? "1" : "0";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
