import { LighterError } from "../base/errors.ts";
import type { RegistryTls } from "./certificates.ts";
import { certificateFailure, isCertificateProblem, networkFailure, timedOut } from "./network-failure.ts";
import { completeProxies, proxyFor, type ProxySettings } from "./proxy.ts";

/** One request; `authorization`, `secrets` and a client's certificate go only to the origin they are meant for, never along a redirect to another one. */
export interface Request {
  method: string;
  url: string;
  headers?: Record<string, string>;
  authorization?: string | undefined;
  /** Headers that are for this origin alone. */
  secrets?: Readonly<Record<string, string>>;
  body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  unix?: string | undefined;
  tls?: RegistryTls | undefined;
  /** Proxies in place of those that the environment names. */
  proxies?: ProxySettings | undefined;
  /** A redirect from HTTPS to HTTP is followed. */
  insecure?: boolean;
  signal?: AbortSignal | undefined;
  /** Milliseconds until the answer's headers must be here. */
  timeout?: number | undefined;
}

/** Go's limit, which registries are built for. */
const MAX_REDIRECTS = 10;
const HEADER_TIMEOUT = 30_000;

/**
 * Sends a request and follows redirects. Throws `unavailable` (a network failure) without an answer, `cancelled` when the signal fires,
 * `invalid` for redirects in circles and for other protocols: `fetch` would read files of this machine.
 */
export async function send(request: Request): Promise<Response> {
  if (!/^https?:$/.test(URL.parse(request.url)?.protocol ?? ""))
    throw new LighterError("invalid", `Cannot send to "${request.url}": it is neither HTTP nor HTTPS`);
  let current = request;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await sendOnce(current);
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
    await response.body?.cancel().catch(() => undefined);
    if (request.method !== "GET" && request.method !== "HEAD") {
      throw new LighterError("invalid", `Cannot send to "${current.url}": it redirects a ${request.method} to "${location}"`);
    }
    current = redirected(current, location);
  }
  throw new LighterError("invalid", `Get "${request.url}": stopped after ${MAX_REDIRECTS} redirects`);
}

function redirected(request: Request, location: string): Request {
  const from = new URL(request.url);
  const to = URL.parse(location, from.href);
  if (to === null || (to.protocol !== "https:" && to.protocol !== "http:")) {
    throw new LighterError("invalid", `Get "${request.url}": it redirects to "${location}", which is neither HTTP nor HTTPS`);
  }
  if (from.protocol === "https:" && to.protocol === "http:" && request.insecure !== true) {
    throw new LighterError("invalid", `Get "${request.url}": it redirects from HTTPS to "${to.origin}", which is not encrypted`);
  }
  if (to.origin === from.origin) return { ...request, url: to.href };
  const { authorization: _dropped, secrets: _secrets, unix: _socket, tls, ...rest } = request;
  const { cert: _cert, key: _key, ...trust } = tls ?? {};
  return { ...rest, ...(tls === undefined ? {} : { tls: trust }), url: to.href };
}

async function sendOnce(request: Request): Promise<Response> {
  if (isAborted(request.signal)) throw new LighterError("cancelled", "context canceled");
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), request.timeout ?? HEADER_TIMEOUT);
  const signal = request.signal === undefined ? giveUp.signal : AbortSignal.any([giveUp.signal, request.signal]);
  try {
    return await fetch(request.url, { ...optionsOf(request), signal });
  } catch (cause) {
    if (isAborted(request.signal)) throw new LighterError("cancelled", "context canceled", { cause });
    if (giveUp.signal.aborted) throw timedOut(request.method, request.url);
    throw isCertificateProblem(cause)
      ? certificateFailure(request.method, request.url, cause)
      : networkFailure(request.method, request.url, cause, proxyOf(request));
  } finally {
    clearTimeout(timer);
  }
}

/** A function, as the compiler takes the flag of a signal for a constant. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function proxyOf({ url, unix, proxies }: Request): string | undefined {
  return unix === undefined ? proxyFor(url, completeProxies(proxies ?? {})) : undefined;
}

function optionsOf(request: Request): BunFetchRequestInit {
  const headers = new Headers({ ...request.headers, ...request.secrets });
  headers.set("accept-encoding", "identity");
  if (request.authorization !== undefined) headers.set("authorization", request.authorization);
  const options: BunFetchRequestInit = { method: request.method, headers, redirect: "manual", decompress: false };
  if (request.body !== undefined) options.body = request.body;
  if (request.unix !== undefined) options.unix = request.unix;
  else options.proxy = proxyOf(request) ?? false;
  if (request.tls !== undefined) options.tls = request.tls;
  return options;
}
