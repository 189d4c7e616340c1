import { kindOf, LighterError } from "../base/errors.ts";
import { basicHeader, requestToken, type Token, type TokenContext } from "./authorize.ts";
import { readCertificates, readTlsFiles, type RegistryTls } from "./certificates.ts";
import { parseChallenges, type Challenge } from "./challenge.ts";
import type { Credentials, RegistryHost } from "./distribution.ts";
import { resolvesIntoInsecure } from "./insecure.ts";
import type { ProxySettings } from "./proxy.ts";
import { askPatiently } from "./retry.ts";
import { send, type Request } from "./send.ts";
import { SharedWork } from "./shared-work.ts";
import { type Warned, warningsOf } from "./warnings.ts";

export { isBrokenConnection, pause } from "./retry.ts";

/** A request to a registry by path; what is left out is filled in by the connection. */
export interface RegistryRequest extends Omit<Request, "url" | "unix" | "tls" | "authorization" | "proxies" | "insecure"> {
  /** From `/v2/` on, or a whole URL of this registry (an upload's location). */
  path: string;
  scopes: readonly string[];
  /** False: take the first answer or failure as it is. */
  retry?: boolean | undefined;
  /** Retried whatever its method is: sending it twice is as good as once. */
  again?: boolean;
  /** Told of the registry's warnings. */
  warned?: Warned | undefined;
}

/** What connections know beside their host. */
export interface ConnectionOptions {
  userAgent: string;
  certificateDirectories: readonly string[];
  proxies?: ProxySettings;
  insecureRegistries?: readonly string[];
}

interface Pinged {
  base: string;
  challenges: Challenge[];
  time: number;
}

interface Wait {
  signal?: AbortSignal | undefined;
  timeout?: number | undefined;
}

/** How long what a ping said is believed, in milliseconds. */
const PING_LIFE = 300_000;
const ATTEMPTS = 4;
/** Milliseconds until the first answer. */
const PATIENCE = 15_000;
/** The same of a mirror: somebody else can be asked when it says nothing. */
export const PATIENCE_WITH_MIRRORS = 4_000;

/** Milliseconds until a mirror that was there begins to answer a request. */
const MIRROR_TIMEOUT = 15_000;

/** The way to one registry host for one set of credentials: scheme, challenge and tokens are kept between calls. */
export class Connection {
  readonly host: RegistryHost;
  readonly credentials: Credentials | undefined;
  readonly #options: ConnectionOptions;
  readonly #tokens = new Map<string, Token>();
  readonly #asking = new SharedWork<Token>();
  readonly #pinging = new SharedWork<Pinged>();
  #pinged: Pinged | undefined;
  #tls: Promise<RegistryTls | undefined> | undefined;
  #insecure: boolean;

  constructor(host: RegistryHost, credentials: Credentials | undefined, options: ConnectionOptions) {
    this.host = host;
    this.credentials = credentials;
    this.#options = options;
    this.#insecure = host.insecure;
  }

  /** Asks `/v2/` once in a while: whether the registry is there, by which scheme, and how it wants to be convinced. */
  async ping(options: Wait = {}): Promise<{ base: string; challenges: Challenge[] }> {
    if (this.#pinged !== undefined && Date.now() - this.#pinged.time < PING_LIFE) return this.#pinged;
    return this.#pinging.run(`${options.timeout}`, () => this.#ping(options), options.signal);
  }

  async #ping(options: Wait): Promise<Pinged> {
    // Certificates may have been put in place since the last time.
    this.#tls = undefined;
    this.#insecure = this.host.insecure || (await this.#leadsIntoInsecure());
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

  async #leadsIntoInsecure(): Promise<boolean> {
    const { unix, mirror, url } = this.host;
    if (unix !== undefined || mirror === true) return false;
    return resolvesIntoInsecure(new URL(url).host, this.#options.insecureRegistries ?? []);
  }

  /** Sends with credentials, retrying what is worth it; the answer may be any status but 401 that a token could have cured. */
  async request(request: RegistryRequest): Promise<Response> {
    const again = request.again === true || (request.retry !== false && (request.method === "GET" || request.method === "HEAD"));
    const mirror = this.host.mirror === true;
    const attempts = again ? (mirror ? 2 : ATTEMPTS) : 1;
    const response = await askPatiently(() => this.#authorized(request), { attempts, waits: !mirror, signal: request.signal });
    if (request.warned !== undefined) for (const text of warningsOf(response.headers)) request.warned(text);
    return response;
  }

  /** GET of an address that is not the registry's: nothing that is for the registry goes there. */
  elsewhere(url: string, headers: Record<string, string>, signal: AbortSignal | undefined): Promise<Response> {
    const { userAgent, proxies } = this.#options;
    return send({ method: "GET", url, headers: { "user-agent": userAgent, ...headers }, proxies, insecure: this.#insecure, signal });
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
    if (response.status !== 401 || !isFrom(response, base)) return response;
    const asked = parseChallenges(response.headers.get("www-authenticate"));
    this.#tokens.delete(request.scopes.join(" "));
    if (asked.length === 0 || request.body instanceof ReadableStream) return response;
    const second = await this.#authorization(asked, request);
    if (second === undefined || (second === authorization && second.startsWith("Basic"))) return response;
    await response.body?.cancel().catch(() => undefined);
    this.#pinged = { base, challenges: asked.map(withoutScope), time: Date.now() };
    return this.#send(base, request, second);
  }

  async #send(base: string, request: RegistryRequest, authorization: string | undefined): Promise<Response> {
    const { path, scopes: _scopes, retry: _retry, again: _again, warned: _warned, ...rest } = request;
    const url = this.#urlOf(base, path);
    const headers = { "user-agent": this.#options.userAgent, ...request.headers };
    const own = new URL(url).origin === new URL(base).origin;
    if (!own && !this.#insecure && base.startsWith("https:") && url.startsWith("http:"))
      throw new LighterError("invalid", `Cannot send to "${new URL(url).origin}", as ${base} wants it: that is not encrypted`);
    const timeout = request.timeout ?? (this.host.mirror === true ? MIRROR_TIMEOUT : undefined);
    return send({ ...rest, ...(await this.#way(own)), url, headers, timeout, authorization: own ? authorization : undefined });
  }

  /** The address of a path; a mirror of several registries is told which one is meant. */
  #urlOf(base: string, path: string): string {
    const api = this.host.overridePath === true ? base : `${base}/v2`;
    const url = new URL(path.startsWith("/v2/") ? api + path.slice(3) : path, `${base}/`);
    const { namespace } = this.host;
    if (namespace !== undefined && !url.searchParams.has("ns")) url.searchParams.set("ns", namespace);
    return url.href;
  }

  /** How this host is reached. Headers of its own do not go to others. */
  async #way(own = true): Promise<Pick<Request, "unix" | "tls" | "proxies" | "insecure" | "secrets">> {
    const { unix, headers } = this.host;
    return {
      unix,
      insecure: this.#insecure,
      tls: await this.#readTls(),
      proxies: this.#options.proxies,
      ...(own && headers !== undefined ? { secrets: headers } : {}),
    };
  }

  async #authorization(challenges: readonly Challenge[], request: RegistryRequest): Promise<string | undefined> {
    if (this.credentials?.registryToken) return `Bearer ${this.credentials.registryToken}`;
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer === undefined) return challenges.some(({ scheme }) => scheme === "basic") ? basicHeader(this.credentials) : undefined;
    const key = request.scopes.join(" ");
    const known = this.#tokens.get(key);
    if (known !== undefined && known.expires > Date.now()) return known.header;
    const scopes = this.#scopesOf(request, bearer.parameters["scope"]?.split(" ") ?? []);
    const ask = async (): Promise<Token> => requestToken(bearer, scopes, await this.#context(request.signal));
    const token = await this.#asking.run(key, ask, request.signal);
    this.#tokens.set(key, token);
    return token.header;
  }

  /** What a token is asked for. A mirror may keep a registry's repositories under other names: what it says itself counts, too. */
  #scopesOf({ scopes }: RegistryRequest, challenged: readonly string[]): readonly string[] {
    if (scopes.length === 0) return challenged;
    return this.host.mirror === true ? [...new Set([...scopes, ...challenged])] : scopes;
  }

  async #context(signal: AbortSignal | undefined): Promise<TokenContext> {
    const { credentials } = this;
    const { userAgent, proxies } = this.#options;
    return { credentials, userAgent, proxies, insecure: this.#insecure, tls: await this.#readTls(), signal };
  }

  async #pingAt(base: string, options: Wait): Promise<Response> {
    const patience = this.host.patience ?? (this.host.mirror === true ? PATIENCE_WITH_MIRRORS : PATIENCE);
    const timeout = options.timeout ?? patience;
    const headers = { "user-agent": this.#options.userAgent };
    const url = this.#urlOf(base, "/v2/");
    const response = await send({ method: "GET", url, headers, ...(await this.#way()), signal: options.signal, timeout });
    await response.body?.cancel().catch(() => undefined);
    return response;
  }

  /** An insecure host may speak either scheme: HTTPS first, as Docker does. */
  #bases(): string[] {
    const { url, unix } = this.host;
    return this.#insecure && unix === undefined && url.startsWith("https://") ? [url, url.replace(/^https:/, "http:")] : [url];
  }

  #readTls(): Promise<RegistryTls | undefined> {
    const { unix, url, tls } = this.host;
    if (unix !== undefined || url.startsWith("http://")) return Promise.resolve(undefined);
    this.#tls ??= (tls === undefined ? readCertificates(this.#options.certificateDirectories, url) : readTlsFiles(tls)).then((read) =>
      this.#insecure ? { ...read, rejectUnauthorized: false } : read,
    );
    this.#tls.catch(() => undefined);
    return this.#tls;
  }
}

/** A challenge as it is good for other repositories, too. */
function withoutScope({ scheme, parameters: { scope: _scope, ...parameters } }: Challenge): Challenge {
  return { scheme, parameters };
}

/** Whether an answer came from the registry itself: what another host asks for at the end of a redirect is not to be given. */
function isFrom(response: Response, base: string): boolean {
  return response.url === "" || new URL(response.url).origin === new URL(base).origin;
}
