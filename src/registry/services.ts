import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Distribution } from "../distribution/distribution.ts";
import type { Tx } from "../state/state.ts";
import { askedBy } from "./asked-by.ts";
import { openCache, type PullThrough } from "./cache.ts";
import { collectGarbage, noteGrace, type GcReport } from "./gc.ts";
import { LastUse } from "./last-use.ts";
import { listenTcp } from "./listen.ts";
import { Metrics } from "./metrics.ts";
import { openNotices, type RegistryEvent } from "./notices.ts";
import type { Call, RegistryContext, Told } from "./routes.ts";
import type { Settings } from "./settings.ts";

/** Uploads that nobody went on with for so many milliseconds are given up by a collection. */
const UPLOAD_AGE = 7 * 24 * 3_600_000;

/** What goes on around the protocol: upstreams, notices, metrics, collections. */
export interface Services extends AsyncDisposable {
  /** Answers what means an upstream's repository; undefined for what is our own. */
  answer(route: string, call: Call): Promise<Response | undefined>;
  /** Answers paths outside of the protocol that are served to everybody who is let in; undefined for none of them. */
  page(call: Call): Promise<Response | undefined>;
  /** Answers what only the registry's owner may ask, over its unix socket; undefined for anything else. */
  administer(request: Request): Promise<Response | undefined>;
  /** Is told of each request that was answered, before the body of the answer is sent. */
  done(told: Told): void;
  /** Puts an event into the queues of those who want to hear of it, in the transaction of the change that it tells of. */
  record(tx: Tx, event: RegistryEvent): void;
  /** Applies the retention rules and removes what nothing needs. One runs at a time. */
  collect(options?: { dryRun?: boolean; untagged?: number | undefined }): Promise<GcReport>;
}

/** What services are made of. */
export interface ServicesOptions {
  settings: Settings;
  /** The client of upstreams; made when there is one. */
  distribution: () => Distribution;
  /** How this registry is called in notices. */
  host: string;
}

/** Starts what the settings ask for, and hands itself to the context. */
export async function openServices(context: RegistryContext, options: ServicesOptions): Promise<Services> {
  const { metrics } = options.settings;
  const wanted = metrics.path !== undefined || metrics.address !== undefined;
  const services = new RegistryServices(context, options, wanted ? await Metrics.open(context.state, context.content) : undefined);
  context.services = services;
  return services;
}

class RegistryServices implements Services {
  readonly #context: RegistryContext;
  readonly #settings: Settings;
  readonly #metrics: Metrics | undefined;
  readonly #notices: ReturnType<typeof openNotices>;
  readonly #uses: LastUse;
  readonly #cache: PullThrough | undefined;
  readonly #listener: ReturnType<typeof listenTcp> | undefined;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #collecting: Promise<unknown> = Promise.resolve();

  constructor(context: RegistryContext, { settings, distribution, host }: ServicesOptions, metrics: Metrics | undefined) {
    this.#context = context;
    this.#settings = settings;
    this.#metrics = metrics;
    const { gc, proxies, webhooks, cacheLimit } = settings;
    noteGrace(context.state, gc.grace);
    this.#notices = openNotices(context.state, webhooks, host);
    this.#uses = new LastUse(context.state, gc.grace);
    if (proxies.length > 0) {
      const count = (upstream: string, result: Parameters<Metrics["cached"]>[1]): void => metrics?.cached(upstream, result);
      this.#cache = openCache({ context, distribution: distribution(), proxies, limit: cacheLimit, count });
    }
    if (settings.metrics.address !== undefined)
      this.#listener = listenTcp(settings.metrics.address, () => this.#metricsPage(), { tls: undefined, plain: true });
    if (gc.interval !== undefined) this.#timer = setInterval(() => this.#collectSoon(), gc.interval).unref();
  }

  async answer(route: string, call: Call): Promise<Response | undefined> {
    return await this.#cache?.answer(route, call);
  }

  async page(call: Call): Promise<Response | undefined> {
    return call.url.pathname === this.#settings.metrics.path ? await this.#metricsPage() : undefined;
  }

  async administer(request: Request): Promise<Response | undefined> {
    const url = new URL(request.url);
    if (url.pathname !== "/_lighter/gc" || request.method !== "POST") return undefined;
    const untagged = url.searchParams.get("untagged");
    const report = await this.collect({
      dryRun: url.searchParams.get("dryRun") === "1",
      ...(untagged === null ? {} : { untagged: Number(untagged) }),
    });
    return Response.json(report);
  }

  done(told: Told): void {
    this.#metrics?.done(told);
    const { call, response, route } = told;
    const { request, repository, target } = call;
    if ((route !== "manifest" && route !== "blob") || response.status >= 300) return;
    const digest = response.headers.get("docker-content-digest");
    if (digest === null) return;
    if (request.method === "HEAD") this.#uses.seen(repository, digest);
    if (request.method !== "GET") return;
    const tag = route === "manifest" && !target.includes(":") ? target : undefined;
    this.#uses.pulled(repository, digest, tag);
    const type = response.headers.get("content-type") ?? "application/octet-stream";
    const size = Number(response.headers.get("content-length") ?? Number.NaN);
    this.#notices.tell({
      action: "pull",
      repository,
      digest,
      mediaType: type,
      ...(tag === undefined ? {} : { tag }),
      ...(Number.isNaN(size) ? {} : { size }),
      ...askedBy(call),
    });
  }

  record(tx: Tx, event: RegistryEvent): void {
    this.#notices.record(tx, event);
  }

  async collect({
    dryRun = false,
    untagged = this.#settings.gc.untagged,
  }: { dryRun?: boolean; untagged?: number | undefined } = {}): Promise<GcReport> {
    const run = this.#collecting.then(() => this.#collectNow(dryRun, untagged));
    this.#collecting = run.catch(() => undefined);
    return await run;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#listener?.stop(0);
    await this.#collecting;
    this.#uses.flush();
    await this.#notices[Symbol.asyncDispose]();
  }

  async #collectNow(dryRun: boolean, untagged: number | undefined): Promise<GcReport> {
    const { state, content } = this.#context;
    this.#uses.flush();
    if (!dryRun) await content.sweepUploads(UPLOAD_AGE);
    const record = (tx: Tx, event: RegistryEvent): void => this.record(tx, event);
    const report = await collectGarbage({ state, content, rules: this.#settings.retention, untagged, dryRun, record });
    if (!dryRun) this.#metrics?.collected(report);
    return report;
  }

  #collectSoon(): void {
    this.collect().then(
      ({ tags, blobs, bytes }) => logOf("registry").info("collected {blobs} blobs, {bytes} bytes", { tags: tags.length, blobs, bytes }),
      (error: unknown) => logOf("registry").error("a collection failed: {why}", { why: messageOf(error) }),
    );
  }

  async #metricsPage(): Promise<Response> {
    return (await this.#metrics?.answer()) ?? new Response(null, { status: 404 });
  }
}
