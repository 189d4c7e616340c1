import { LighterError, kindOf } from "../base/errors.ts";
import { basicHeader, requestToken, type Token, type TokenContext } from "./authorize.ts";
import { readCertificates, type RegistryTls } from "./certificates.ts";
import { parseChallenges, type Challenge } from "./challenge.ts";
import type { Credentials, RegistryHost } from "./distribution.ts";
import { isNetworkFailure } from "./network-failure.ts";
import { send, type Request } from "./send.ts";

/** A request to a registry by path; what is left out is filled in by the connection. */
export interface RegistryRequest extends Omit<Request, "url" | "unix" | "tls" | "authorization"> {
  /** From `/v2/` on, or a whole URL of this registry (an upload's location). */
  path: string;
  scopes: readonly string[];
  /** False: take the first answer or failure as it is. */
  retry?: boolean | undefined;
  /** Retried whatever its method is: sending it twice is as good as once. */
  again?: boolean;
}

/** How long what a ping said is believed, in milliseconds. */
const PING_LIFE = 300_000;
const TRANSIENT = new Set([408, 500, 502, 503, 504]);
const ATTEMPTS = 4;

/** The way to one registry host for one set of credentials: scheme, challenge and tokens are kept between calls. */
export class Connection {
  readonly host: RegistryHost;
  readonly credentials: Credentials | undefined;
  readonly #options: { userAgent: string; certificateDirectories: readonly string[] };
  readonly #tokens = new Map<string, Token>();
  #pinged: { base: string; challenges: Challenge[]; time: number } | undefined;
  #tls: Promise<RegistryTls | undefined> | undefined;

  constructor(
    host: RegistryHost,
    credentials: Credentials | undefined,
    options: { userAgent: string; certificateDirectories: readonly string[] },
  ) {
    this.host = host;
    this.credentials = credentials;
    this.#options = options;
  }

  /** Asks `/v2/` once in a while: whether the registry is there, by which scheme, and how it wants to be convinced. */
  async ping(
    options: { signal?: AbortSignal | undefined; timeout?: number | undefined } = {},
  ): Promise<{ base: string; challenges: Challenge[] }> {
    if (this.#pinged !== undefined && Date.now() - this.#pinged.time < PING_LIFE) return this.#pinged;
    let failure: unknown;
    for (const base of this.#bases()) {
      try {
        const response = await this.#pingAt(base, options);
        this.#pinged = { base, challenges: parseChallenges(response.headers.get("www-authenticate")), time: Date.now() };
        return this.#pinged;
      } catch (error) {
        if (kindOf(error) === "cancelled") throw error;
        failure = error;
      }
    }
    throw failure;
  }

  /** Sends with credentials, retrying what is worth it; the answer may be any status but 401 that a token could have cured. */
  async request(request: RegistryRequest): Promise<Response> {
    const again = request.again === true || (request.retry !== false && (request.method === "GET" || request.method === "HEAD"));
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await this.#authorized(request);
        const wait = again && attempt < ATTEMPTS ? retryDelay(response, attempt) : undefined;
        if (wait === undefined) return response;
        await response.body?.cancel().catch(() => undefined);
        await pause(wait, request.signal);
      } catch (error) {
        if (!again || attempt >= ATTEMPTS || !isBrokenConnection(error)) throw error;
        await pause(backOff(attempt), request.signal);
      }
    }
  }

  /** A fresh token for a login, and the refresh token that comes with it; undefined where the registry speaks basic or nothing. */
  async loginToken(): Promise<Token | undefined> {
    const { challenges } = await this.ping();
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    return bearer === undefined ? undefined : requestToken(bearer, [], await this.#context(undefined), true);
  }

  async #authorized(request: RegistryRequest): Promise<Response> {
    const { base, challenges } = await this.ping({ signal: request.signal });
    const authorization = await this.#authorization(challenges, request);
    const response = await this.#send(base, request, authorization);
    if (response.status !== 401) return response;
    const asked = parseChallenges(response.headers.get("www-authenticate"));
    this.#tokens.delete(request.scopes.join(" "));
    if (asked.length === 0 || request.body instanceof ReadableStream) return response;
    const second = await this.#authorization(asked, request);
    if (second === undefined || (second === authorization && second.startsWith("Basic"))) return response;
    await response.body?.cancel().catch(() => undefined);
    this.#pinged = { base, challenges: asked, time: Date.now() };
    return this.#send(base, request, second);
  }

  async #send(base: string, request: RegistryRequest, authorization: string | undefined): Promise<Response> {
    const { path, scopes: _scopes, retry: _retry, again: _again, ...rest } = request;
    const url = new URL(path.startsWith("/v2/") ? base + path : path, `${base}/`).href;
    const headers = { "user-agent": this.#options.userAgent, ...request.headers };
    const own = new URL(url).origin === new URL(base).origin;
    return send({
      ...rest,
      url,
      headers,
      unix: this.host.unix,
      tls: await this.#readTls(),
      authorization: own ? authorization : undefined,
    });
  }

  async #authorization(challenges: readonly Challenge[], request: RegistryRequest): Promise<string | undefined> {
    if (this.credentials?.registryToken) return `Bearer ${this.credentials.registryToken}`;
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer === undefined) return challenges.some(({ scheme }) => scheme === "basic") ? basicHeader(this.credentials) : undefined;
    const key = request.scopes.join(" ");
    const known = this.#tokens.get(key);
    if (known !== undefined && known.expires > Date.now()) return known.header;
    const scopes = request.scopes.length > 0 ? request.scopes : (bearer.parameters["scope"]?.split(" ") ?? []);
    const token = await requestToken(bearer, scopes, await this.#context(request.signal));
    this.#tokens.set(key, token);
    return token.header;
  }

  async #context(signal: AbortSignal | undefined): Promise<TokenContext> {
    const { credentials, host } = this;
    return { credentials, userAgent: this.#options.userAgent, insecure: host.insecure, tls: await this.#readTls(), signal };
  }

  async #pingAt(base: string, options: { signal?: AbortSignal | undefined; timeout?: number | undefined }): Promise<Response> {
    const headers = { "user-agent": this.#options.userAgent };
    const timeout = options.timeout ?? 15_000;
    const response = await send({
      method: "GET",
      url: `${base}/v2/`,
      headers,
      unix: this.host.unix,
      tls: await this.#readTls(),
      ...options,
      timeout,
    });
    await response.body?.cancel().catch(() => undefined);
    return response;
  }

  /** An insecure host may speak either scheme: HTTPS first, as Docker does. */
  #bases(): string[] {
    const { url, insecure, unix } = this.host;
    return insecure && unix === undefined && url.startsWith("https://") ? [url, url.replace(/^https:/, "http:")] : [url];
  }

  #readTls(): Promise<RegistryTls | undefined> {
    if (this.host.unix !== undefined || this.host.url.startsWith("http://")) return Promise.resolve(undefined);
    return (this.#tls ??= readCertificates(this.#options.certificateDirectories, new URL(this.host.url).host).then((tls) =>
      this.host.insecure ? { ...tls, rejectUnauthorized: false } : tls,
    ));
  }
}

/** Milliseconds to wait before asking again; undefined where the answer is to be taken as it is. */
function retryDelay(response: Response, attempt: number): number | undefined {
  if (TRANSIENT.has(response.status)) return backOff(attempt);
  if (response.status !== 429) return undefined;
  const seconds = retryAfter(response.headers.get("retry-after"));
  return seconds !== undefined && seconds <= 10 ? seconds * 1000 : undefined;
}

/** Seconds of a `Retry-After` header: a number or a date. RFC 9110 section 10.2.3. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header.trim())) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

function backOff(attempt: number): number {
  return Math.min(250 * 2 ** (attempt - 1), 4000) * (0.75 + Math.random() / 2);
}

/** Whether a connection broke in the middle. That is worth another try; a host that cannot be reached is not. */
export function isBrokenConnection(error: unknown): boolean {
  const code = ((error as LighterError).cause as { code?: unknown } | undefined)?.code;
  return isNetworkFailure(error) && (code === "ECONNRESET" || code === "EPIPE");
}

/** Waits, or throws `cancelled` as soon as the signal fires. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancelled = (): void => reject(new LighterError("cancelled", "context canceled"));
    if (signal?.aborted === true) return cancelled();
    const stop = (): void => {
      clearTimeout(timer);
      cancelled();
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
