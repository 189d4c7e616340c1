import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { DEFAULT_REGISTRY, parseReference } from "../base/reference.ts";
import { readAtMost } from "./answers.ts";
import { basicHeader } from "./authorize.ts";
import { readCertificates } from "./certificates.ts";
import { Connection, pause } from "./connection.ts";
import type { Credentials, DistributionOptions, FoundRepository, RegistryHost } from "./distribution.ts";
import { originOf } from "./hosts.ts";
import { isNetworkFailure } from "./network-failure.ts";
import { nextPage } from "./repository.ts";
import { send } from "./send.ts";

/** What is looked for, and where. */
interface SearchRequest {
  /** The registry's host; undefined is Docker Hub. */
  host: RegistryHost | undefined;
  term: string;
  limit: number;
  credentials?: Credentials | undefined;
  signal?: AbortSignal | undefined;
}

/** Docker Hub's index, which answers searches. */
const HUB_INDEX: RegistryHost = { url: "https://index.docker.io", insecure: false };
const ATTEMPTS = 3;
const MOST_ANSWER = 8 << 20;
/** A registry that lists more repositories is searched in its first ones. */
const MOST_PAGES = 20;

/** As `Distribution.search`. */
export async function search(
  text: string,
  request: { limit: number; credentials?: Credentials; signal?: AbortSignal },
  options: DistributionOptions,
): Promise<FoundRepository[]> {
  const { registry, term } = splitTerm(text);
  if (registry === DEFAULT_REGISTRY) return searchRegistry({ ...request, term, host: undefined }, options);
  // Throws for what can be no registry's name.
  parseReference(`${registry}/search`);
  // The registry itself, not what stands in for it.
  const host = originOf(registry, options.insecureRegistries);
  return searchRegistry({ ...request, term, host }, options);
}

/**
 * Searches a registry for repositories: by the search of Docker's first registry protocol, which Docker Hub still answers; where a registry does not offer
 * that, in the list of its repositories (`_catalog`). Throws `unavailable` where it offers neither.
 */
async function searchRegistry(request: SearchRequest, options: DistributionOptions): Promise<FoundRepository[]> {
  const { host = HUB_INDEX, term, limit } = request;
  const connection = new Connection(host, request.credentials, options);
  const base = host === HUB_INDEX ? host.url : (await connection.ping({ signal: request.signal })).base;
  const url = `${base}/v1/search?q=${encodeURIComponent(term)}&n=${limit}`;
  // An identity token is no password: it buys a token for the search, as Docker does.
  const response =
    host === HUB_INDEX && request.credentials?.identityToken
      ? await connection.request({ method: "GET", path: url, scopes: ["registry:catalog:search"], signal: request.signal })
      : await ask(url, host, request, options);
  const found = response.status === 200 ? await readFound(response) : undefined;
  if (found !== undefined) return found;
  if (host === HUB_INDEX) throw new LighterError("unavailable", `unexpected status code ${response.status}`);
  await response.body?.cancel().catch(() => undefined);
  return searchCatalog(connection, request, response.status);
}

async function ask(url: string, host: RegistryHost, request: SearchRequest, options: DistributionOptions): Promise<Response> {
  const read = url.startsWith("https:") ? await readCertificates(options.certificateDirectories, new URL(url).host) : undefined;
  const tls = host.insecure && url.startsWith("https:") ? { ...read, rejectUnauthorized: false } : read;
  const headers = { "user-agent": options.userAgent, "x-docker-token": "true" };
  for (let attempt = 1; ; attempt++) {
    const authorization = basicHeader(request.credentials);
    const { proxies } = options;
    const response = await send({ method: "GET", url, headers, tls, proxies, authorization, signal: request.signal, unix: host.unix });
    if (attempt >= ATTEMPTS || (response.status !== 429 && response.status < 500)) return response;
    await response.body?.cancel().catch(() => undefined);
    await pause(300 * attempt, request.signal);
  }
}

/** The results of an answer; undefined for what is no answer of that protocol (a web page, say). */
async function readFound(response: Response): Promise<FoundRepository[] | undefined> {
  const { data } = await readAtMost(response, MOST_ANSWER);
  let parsed: { results?: unknown } | null;
  try {
    parsed = JSON.parse(new TextDecoder().decode(data)) as typeof parsed;
  } catch {
    return undefined;
  }
  if (!Array.isArray(parsed?.results)) return undefined;
  return (parsed.results as (Partial<FoundRepository> | null)[]).map((item) => ({
    name: String(item?.name ?? ""),
    description: String(item?.description ?? ""),
    star_count: Number(item?.star_count ?? 0),
    is_official: item?.is_official === true,
    is_automated: item?.is_automated === true,
  }));
}

async function searchCatalog(connection: Connection, request: SearchRequest, status: number): Promise<FoundRepository[]> {
  const registry = new URL(connection.host.url).host;
  const words = request.term.toLowerCase().split(/\s+/).filter(Boolean);
  const found: FoundRepository[] = [];
  let path: string | undefined = "/v2/_catalog?n=1000";
  for (let page = 0; path !== undefined && page < MOST_PAGES; page++) {
    const answer: { names: string[]; next: string | undefined } = await readCatalog(connection, path, request.signal).catch(
      (cause: unknown) => {
        if (kindOf(cause) === "cancelled" || kindOf(cause) === "unauthorized" || isNetworkFailure(cause)) throw cause;
        throw new LighterError(
          "unavailable",
          `Cannot search "${registry}": it offers neither Docker's search (status ${status}) nor a list of its repositories (${messageOf(cause)})`,
          { cause },
        );
      },
    );
    for (const name of answer.names) {
      if (!words.every((word) => name.toLowerCase().includes(word))) continue;
      found.push({ name: `${registry}/${name}`, description: "", star_count: 0, is_official: false, is_automated: false });
      if (found.length >= request.limit) return found;
    }
    path = answer.next;
  }
  return found;
}

async function readCatalog(
  connection: Connection,
  path: string,
  signal: AbortSignal | undefined,
): Promise<{ names: string[]; next: string | undefined }> {
  const response = await connection.request({ method: "GET", path, scopes: ["registry:catalog:*"], signal });
  const { data } = await readAtMost(response, MOST_ANSWER);
  if (response.status === 401) {
    const registry = new URL(connection.host.url).host;
    throw new LighterError("unauthorized", `Cannot search "${registry}": unauthorized: authentication required`);
  }
  if (!response.ok) throw new LighterError("unavailable", `status ${response.status}`);
  const parsed = JSON.parse(new TextDecoder().decode(data)) as { repositories?: unknown } | null;
  if (!Array.isArray(parsed?.repositories)) throw new LighterError("unavailable", "no list");
  return { names: parsed.repositories.filter((name): name is string => typeof name === "string"), next: nextPage(response) };
}

/** The registry and the rest of what `docker search` was given: `host/term`, or a term for Docker Hub. */
function splitTerm(text: string): { registry: string; term: string } {
  const slash = text.indexOf("/");
  const head = slash < 0 ? "" : text.slice(0, slash);
  const own = head === "localhost" || /[.:]/.test(head);
  if (!own || head === "docker.io" || head === "index.docker.io") {
    const term = own ? text.slice(slash + 1) : text;
    return { registry: DEFAULT_REGISTRY, term: term.replace(/^library\//, "") };
  }
  return { registry: head, term: text.slice(slash + 1) };
}
