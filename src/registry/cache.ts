import { now } from "../base/clock.ts";
import { kindOf, LighterError, messageOf, type ErrorKind } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Distribution, FetchedManifest, Repository } from "../distribution/distribution.ts";
import { isIndex, type Digest, type Index, type Manifest } from "../oci/image.ts";
import type { Tx } from "../state/state.ts";
import { answer, answerBytes, answerJson, refuse } from "./answers.ts";
import { getBlob } from "./blobs.ts";
import { evict } from "./cache-bound.ts";
import { Flight } from "./flight.ts";
import { readManifestDocument } from "./manifest-document.ts";
import { getManifest } from "./manifests.ts";
import { getReferrers, replaceReferrers } from "./referrers.ts";
import type { Call, RegistryContext } from "./routes.ts";
import { deleteTag, linkRow, putLink, putTag, tagDigest, tagsAfter } from "./rows.ts";
import type { ProxySettings } from "./settings.ts";
import type { ByteRange } from "./storage.ts";
import { checkedAt, isProxied, noteChecked, repositoryOf, upstreamOf, type Upstream } from "./upstreams.ts";

/** How a request was answered from what upstreams have. */
export type CacheResult = "hit" | "miss" | "revalidated" | "stale" | "failed";

/** Repositories of other registries, fetched when they are asked for and kept. */
export interface PullThrough {
  /** Answers what means an upstream's repository; undefined for what is our own. `route` is the name of the request's route. */
  answer(route: string, call: Call): Promise<Response | undefined>;
}

/** What the cache works with. */
export interface CacheOptions {
  context: RegistryContext;
  distribution: Distribution;
  proxies: readonly ProxySettings[];
  /** Bytes; undefined for no bound. */
  limit?: number | undefined;
  /** Is told how each request went. */
  count?: (upstream: string, result: CacheResult) => void;
}

/** Whether a manifest is here, as fresh as wanted or not; a refusal, made anew for each who waits, where it is not to be had. */
type Outcome = "here" | "stale" | (() => Response);

/** Routes that are answered from upstreams. */
type Answered = "manifest" | "blob" | "tags" | "referrers";

function isAnswered(route: string): route is Answered {
  return route === "manifest" || route === "blob" || route === "tags" || route === "referrers";
}

/** How long an upstream that failed is not asked again where there is a copy, in milliseconds. */
const REST = 10_000;
/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#warnings */
const STALE = { warning: '299 - "the upstream does not answer: this may be stale"' };

/** Opens the cache. Connects to nothing by itself. */
export function openCache(options: CacheOptions): PullThrough {
  return new Cache(options);
}

class Cache implements PullThrough {
  readonly #options: CacheOptions;
  readonly #flights = new Map<string, Flight>();
  readonly #checks = new Map<string, Promise<Outcome>>();
  /** Upstreams that failed, until when (milliseconds) they are left alone. */
  readonly #resting = new Map<string, number>();
  /** The run that keeps to the bound, and the one that waits for its end. */
  #bounding: Promise<void> = Promise.resolve();
  #following: Promise<void> | undefined;

  constructor(options: CacheOptions) {
    this.#options = options;
  }

  async answer(route: string, call: Call): Promise<Response | undefined> {
    const { context, proxies } = this.#options;
    const upstream = upstreamOf(context.state, proxies, call.repository, call.url.searchParams.get("ns"));
    if (upstream === undefined) return undefined;
    // Who pulls asks for a manifest first; a blob of a name that nobody pulled by is what somebody pushes.
    if (upstream.isGuess && route === "blob" && !isProxied(context.state, upstream.local)) return undefined;
    const reads = call.request.method === "GET" || call.request.method === "HEAD";
    if (reads && isAnswered(route)) {
      // Who was let in was let in to the name in the path.
      const rejection = upstream.local === call.repository ? undefined : call.visitor.refusal(upstream.local);
      if (rejection !== undefined) return refuse(rejection.code, rejection.detail, rejection.headers);
      // From here on it goes by its name here, for whoever notes what was pulled.
      call.repository = upstream.local;
      const answer = await this.#read(route, upstream, call);
      const namespace = call.url.searchParams.get("ns");
      // https://github.com/opencontainers/distribution-spec/blob/main/spec.md#registry-proxying
      if (namespace === upstream.proxy.prefix) answer.headers.set("oci-namespace", namespace);
      return answer;
    }
    if (reads || call.request.method === "DELETE") return undefined;
    // Such a name becomes our own by the first push to it. One that is a copy already would lose what is pushed when its tags are next compared.
    if (upstream.isGuess && (upstream.local !== call.repository || !isProxied(context.state, call.repository))) return undefined;
    return refuse("UNSUPPORTED", `${call.repository} is a copy of ${upstream.proxy.url}: push to another name`);
  }

  #read(route: Answered, upstream: Upstream, call: Call): Promise<Response> {
    if (route === "manifest") return this.#manifest(upstream, call);
    if (route === "referrers") return this.#referrers(upstream, call);
    return route === "blob" ? this.#blob(upstream, call) : this.#tags(upstream, call);
  }

  async #manifest(upstream: Upstream, call: Call): Promise<Response> {
    const { context } = this.#options;
    const key = `${upstream.local} ${call.target}`;
    let check = this.#checks.get(key);
    if (check === undefined) {
      check = this.#refresh(upstream, call.target).finally(() => this.#checks.delete(key));
      this.#checks.set(key, check);
    }
    const outcome = await check;
    if (typeof outcome === "function") return outcome();
    const answer = await getManifest(context, call);
    if (outcome === "stale") answer.headers.set("warning", STALE.warning);
    return answer;
  }

  /** Makes sure that a manifest is here and fresh enough, as far as that can be had. */
  async #refresh(upstream: Upstream, reference: string): Promise<Outcome> {
    const { context } = this.#options;
    const { local, proxy } = upstream;
    const isTag = !reference.includes(":");
    const known = isTag ? tagDigest(context.state, local, reference) : reference;
    const link = known === undefined ? undefined : linkRow(context.state, local, known);
    const here = link?.kind === "manifest" && context.content.blob(link.digest) !== undefined ? link.digest : undefined;
    const fresh = !isTag || now() - checkedAt(context.state, local, reference) < BigInt(Math.floor(proxy.ttl)) * 1_000_000n;
    if (here !== undefined && fresh) return this.#counted(upstream, "hit");
    if (here !== undefined && this.#rests(proxy.url)) return this.#counted(upstream, "stale");
    try {
      return await this.#compare(upstream, reference, here);
    } catch (error) {
      return this.#failed(upstream, reference, here, error);
    }
  }

  async #compare(upstream: Upstream, reference: string, here: Digest | undefined): Promise<Outcome> {
    const { context, distribution } = this.#options;
    const repository = repositoryOf(distribution, upstream);
    if (here !== undefined) {
      const there = await repository.resolve(reference, { retry: false });
      if (there?.digest === here) {
        context.state.write((tx) => noteChecked(tx, upstream.local, reference, now()), { durable: false });
        return this.#counted(upstream, "revalidated");
      }
    }
    const fetched = await repository.manifest(reference, { retry: here === undefined });
    await this.#keep(upstream, reference, fetched);
    return this.#counted(upstream, "miss");
  }

  /** Throws `invalid` for what is no manifest: a client may trust the names in it more than it should. */
  async #keep({ local }: Upstream, reference: string, { descriptor, bytes }: FetchedManifest): Promise<void> {
    const { state, content } = this.#options.context;
    const { digest, mediaType } = descriptor;
    const document = readManifestDocument(bytes, "");
    if (typeof document === "string") throw new LighterError("invalid", `the upstream's manifest ${digest} is not one: ${document}`);
    using lease = content.lease(`cache ${local}`);
    await content.writeBlob(bytes, mediaType, lease);
    state.write(
      (tx) => {
        content.setEdges(tx, digest, childrenOf(mediaType, bytes));
        putLink(tx, { repository: local, digest, kind: "manifest", media_type: mediaType });
        if (!reference.includes(":")) putTag(tx, local, reference, digest);
        noteChecked(tx, local, reference.includes(":") ? "" : reference, now());
      },
      { durable: false },
    );
  }

  /** An upstream that is away or says that we ask too much leaves us with the copy; one that says that it is gone, without. */
  #failed(upstream: Upstream, reference: string, here: Digest | undefined, error: unknown): Outcome {
    const kind = kindOf(error);
    logOf("registry").warn("{upstream}/{repository}:{reference}: {why}", {
      upstream: upstream.proxy.url,
      repository: upstream.remote,
      reference,
      why: messageOf(error),
    });
    if (kind === "not-found" && here !== undefined && !reference.includes(":"))
      this.#options.context.state.write((tx) => void deleteTag(tx, upstream.local, reference), { durable: false });
    if (kind === "unavailable" || kind === "too-many") this.#resting.set(upstream.proxy.url, Date.now() + REST);
    if (here !== undefined && kind !== "not-found") return this.#counted(upstream, "stale");
    this.#counted(upstream, "failed");
    const told = upstream.isGuess && kind === "unavailable" ? "not-found" : kind;
    return () => refusalOf(told, messageOf(error), "manifest");
  }

  async #blob(upstream: Upstream, call: Call): Promise<Response> {
    const { context } = this.#options;
    const { state, content } = context;
    const link = linkRow(state, upstream.local, call.target);
    if (link !== undefined && content.blob(link.digest) !== undefined) return this.#local(upstream, call);
    if (!/^sha256:[0-9a-f]{64}$/.test(call.target)) return refuse("DIGEST_INVALID", call.target);
    const digest = call.target as Digest;
    try {
      // What is here for another name is this one's, too, only if its own upstream says so: whoever knows a digest must not get at what he may not read.
      if (!this.#flights.has(keyOf(upstream, digest)) && this.#isElsewhere(digest)) {
        const repository = repositoryOf(this.#options.distribution, upstream);
        if (!(await repository.hasBlob(digest))) return refuse("BLOB_UNKNOWN", digest);
        if (content.blob(digest) !== undefined) {
          state.write((tx) => this.#link(tx, upstream.local, digest), { durable: false });
          return await this.#local(upstream, call);
        }
      }
      return await this.#follow(upstream, call, this.#flight(upstream, digest));
    } catch (error) {
      this.#counted(upstream, "failed");
      return refusalOf(kindOf(error), messageOf(error), "blob");
    }
  }

  #isElsewhere(digest: Digest): boolean {
    return this.#options.context.content.blob(digest) !== undefined || this.#running(digest) !== undefined;
  }

  /** The download of a blob for any name. */
  #running(digest: Digest): Flight | undefined {
    return [...this.#flights].find(([key]) => key.endsWith(` ${digest}`))?.[1];
  }

  #local(upstream: Upstream, call: Call): Promise<Response> {
    this.#counted(upstream, "hit");
    return Promise.resolve(getBlob(this.#options.context, call));
  }

  async #follow(upstream: Upstream, call: Call, flight: Flight): Promise<Response> {
    await flight.begun;
    this.#counted(upstream, "miss");
    const { size } = flight;
    const asked = call.request.headers.get("range");
    const range = asked === null || size === undefined ? undefined : openRange(asked, size);
    if ((asked !== null && range === undefined) || (call.request.method === "HEAD" && size === undefined)) {
      await flight.done;
      return getBlob(this.#options.context, call);
    }
    const start = range?.start ?? 0;
    const headers: Record<string, string> = {
      "docker-content-digest": call.target,
      "content-type": "application/octet-stream",
      "accept-ranges": "bytes",
      etag: `"${call.target}"`,
      ...(size !== undefined && { "content-length": String(size - start) }),
      ...(size !== undefined && range !== undefined && { "content-range": `bytes ${start}-${size - 1}/${size}` }),
    };
    if (call.request.method === "HEAD") return answer(200, headers);
    const body = await flight.follow(range);
    return body === undefined ? getBlob(this.#options.context, call) : answerBytes(body, range === undefined ? 200 : 206, headers);
  }

  /** The download of a blob, begun by the first who asks; another name's upstream has been asked for it before. */
  #flight(upstream: Upstream, digest: Digest): Flight {
    const key = keyOf(upstream, digest);
    const running = this.#flights.get(key) ?? this.#running(digest);
    if (running !== undefined) {
      // The same bytes for another name: they are shown there, too, once they are whole.
      if (!this.#flights.has(key)) {
        this.#flights.set(key, running);
        const { state } = this.#options.context;
        void running.done
          .then(() => state.write((tx) => this.#link(tx, upstream.local, digest), { durable: false }))
          .catch(() => undefined)
          .finally(() => this.#flights.delete(key));
      }
      return running;
    }
    const { context, distribution } = this.#options;
    const repository: Repository = repositoryOf(distribution, upstream);
    const flight = new Flight({
      content: context.content,
      repository,
      digest,
      link: (tx) => this.#link(tx, upstream.local, digest),
      write: (change) => context.state.write(change, { durable: false }),
    });
    this.#flights.set(key, flight);
    void flight.done
      .then(() => this.#bound())
      .catch((error: unknown) =>
        logOf("registry").warn("{digest} from {url}: {why}", { digest, url: upstream.proxy.url, why: messageOf(error) }),
      )
      .finally(() => this.#flights.delete(key));
    return flight;
  }

  #link(tx: Tx, repository: string, digest: Digest): void {
    noteChecked(tx, repository, "", now());
    if (linkRow(tx, repository, digest)?.kind !== "manifest")
      putLink(tx, { repository, digest, kind: "blob", media_type: "application/octet-stream" });
  }

  /** One run at a time: whoever comes meanwhile is served by the one that follows it. */
  #bound(): Promise<void> {
    if (this.#options.limit === undefined) return Promise.resolve();
    this.#following ??= this.#bounding.then(() => {
      this.#following = undefined;
      return this.#boundNow();
    });
    const run = this.#following;
    this.#bounding = run.catch(() => undefined);
    return run;
  }

  async #boundNow(): Promise<void> {
    const { context, limit } = this.#options;
    if (limit !== undefined && (await evict(context.state, limit))) await context.content.collect();
  }

  async #tags(upstream: Upstream, call: Call): Promise<Response> {
    const { context, distribution } = this.#options;
    const name = call.url.pathname.slice("/v2/".length, -"/tags/list".length);
    const last = call.url.searchParams.get("last") ?? "";
    const asked = Number(call.url.searchParams.get("n") ?? Number.NaN);
    const page = (tags: string[]): string[] => {
      const after = tags.toSorted().filter((tag) => tag > last);
      return Number.isInteger(asked) && asked >= 0 ? after.slice(0, asked) : after;
    };
    const own = (): string[] => tagsAfter(context.state, upstream.local, last, 10_000);
    try {
      if (this.#rests(upstream.proxy.url)) return answerJson({ name, tags: page(own()) }, STALE);
      const tags = page(await repositoryOf(distribution, upstream).tags());
      const query = new URLSearchParams(call.url.searchParams);
      query.set("last", tags.at(-1) ?? "");
      const link = `<${call.url.pathname}?${query.toString()}>; rel="next"`;
      return answerJson({ name, tags }, tags.length === asked && asked > 0 ? { link } : {});
    } catch (error) {
      const tags = page(own());
      return tags.length > 0 ? answerJson({ name, tags }, STALE) : refusalOf(kindOf(error), messageOf(error), "manifest");
    }
  }

  /** What refers to a manifest there (signatures); what was known before, where that cannot be asked. */
  async #referrers(upstream: Upstream, call: Call): Promise<Response> {
    const { context, distribution } = this.#options;
    if (!/^sha256:[0-9a-f]{64}$/.test(call.target)) return getReferrers(context, call);
    const subject = call.target as Digest;
    const found = this.#rests(upstream.proxy.url)
      ? undefined
      : await repositoryOf(distribution, upstream)
          .referrers(subject)
          .catch((error: unknown) => {
            logOf("registry").warn("referrers of {subject}: {why}", { subject, why: messageOf(error) });
          });
    if (found !== undefined) context.state.write((tx) => replaceReferrers(tx, upstream.local, subject, found), { durable: false });
    const answer = getReferrers(context, call);
    if (found === undefined) answer.headers.set("warning", STALE.warning);
    return answer;
  }

  #rests(url: string): boolean {
    return (this.#resting.get(url) ?? 0) > Date.now();
  }

  #counted({ proxy }: Upstream, result: CacheResult): Outcome {
    this.#options.count?.(proxy.prefix === "" ? proxy.url : proxy.prefix, result);
    return result === "stale" ? "stale" : "here";
  }
}

/** What a manifest or index refers to. */
function childrenOf(mediaType: string, bytes: Uint8Array): Digest[] {
  const document = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Manifest & Index>;
  const all = isIndex(mediaType) ? (document.manifests ?? []) : [document.config, ...(document.layers ?? [])];
  return [...new Set(all.flatMap((child) => (child === undefined ? [] : [child.digest])))];
}

function keyOf({ local }: Upstream, digest: Digest): string {
  return `${local} ${digest}`;
}

/** A range that goes on to the end; undefined for one of another form, which waits for the whole. */
function openRange(header: string, size: number): ByteRange | undefined {
  const start = /^bytes=(\d+)-$/.exec(header)?.[1];
  return start === undefined || Number(start) >= size ? undefined : { start: Number(start), end: size - 1 };
}

/** What a client is told when an upstream does not give what it wants. */
function refusalOf(kind: ErrorKind, why: string, what: "manifest" | "blob"): Response {
  if (kind === "too-many" || kind === "unavailable" || kind === "invalid") {
    const [status, code] = kind === "too-many" ? [429, "TOOMANYREQUESTS"] : [502, "UNAVAILABLE"];
    return new Response(JSON.stringify({ errors: [{ code, message: why }] }), { status, headers: { "content-type": "application/json" } });
  }
  if (kind === "not-found" || kind === "unauthorized" || kind === "forbidden")
    return refuse(what === "manifest" ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN", why);
  logOf("registry").error("a cached {what} failed: {why}", { what, why });
  return refuse("UNKNOWN", why);
}
