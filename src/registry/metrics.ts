import type { Counter, Gauge, Histogram, Registry as Series } from "prom-client";
import type { State } from "../state/state.ts";
import { cachedBytes } from "./cache-bound.ts";
import type { CacheResult } from "./cache.ts";
import type { GcReport } from "./gc.ts";
import type { Told } from "./routes.ts";
import type { Storage } from "./storage.ts";

/** Bounds of the histogram of request times, in seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What the registry counts, as Prometheus wants it. https://prometheus.io/docs/instrumenting/exposition_formats/ */
export class Metrics {
  readonly #series: Series;
  readonly #requests: Counter;
  readonly #seconds: Histogram;
  readonly #sent: Counter;
  readonly #received: Counter;
  readonly #cache: Counter;
  readonly #collections: Counter;
  readonly #freed: Counter;

  private constructor(prom: typeof import("prom-client"), state: State, content: Storage) {
    const registers = [(this.#series = new prom.Registry())];
    const name = (last: string): string => `lighter_registry_${last}`;
    const labelNames = ["route", "method"];
    this.#requests = new prom.Counter({
      name: name("requests_total"),
      help: "Requests answered.",
      labelNames: [...labelNames, "status"],
      registers,
    });
    this.#seconds = new prom.Histogram({
      name: name("request_duration_seconds"),
      help: "From a request's head to its answer's.",
      labelNames,
      buckets: BUCKETS,
      registers,
    });
    this.#sent = new prom.Counter({
      name: name("sent_bytes_total"),
      help: "Bytes of blobs and manifests in answers.",
      labelNames: ["route"],
      registers,
    });
    this.#received = new prom.Counter({
      name: name("received_bytes_total"),
      help: "Bytes that pushes announced.",
      labelNames: ["route"],
      registers,
    });
    this.#cache = new prom.Counter({
      name: name("cache_requests_total"),
      help: "Requests for repositories of upstreams, by how they were answered.",
      labelNames: ["upstream", "result"],
      registers,
    });
    this.#collections = new prom.Counter({ name: name("gc_runs_total"), help: "Collections that ran to their end.", registers });
    this.#freed = new prom.Counter({ name: name("gc_freed_bytes_total"), help: "Bytes of blobs that collections removed.", registers });
    this.#gauges(prom, registers, state, content);
  }

  /** Loads the library: nothing of it is there where nobody wants metrics. */
  static async open(state: State, content: Storage): Promise<Metrics> {
    return new Metrics(await import("prom-client"), state, content);
  }

  /** A request was answered. */
  done({ route, call, response, started }: Told): void {
    const { method } = call.request;
    this.#requests.inc({ route, method, status: String(response.status) });
    this.#seconds.observe({ route, method }, (performance.now() - started) / 1000);
    const sent = method === "GET" ? Number(response.headers.get("content-length") ?? 0) : 0;
    if (sent > 0) this.#sent.inc({ route }, sent);
    const received = Number(call.request.headers.get("content-length") ?? 0);
    if (received > 0) this.#received.inc({ route }, received);
  }

  /** A request for what an upstream has. */
  cached(upstream: string, result: CacheResult): void {
    this.#cache.inc({ upstream, result });
  }

  /** A collection ran. */
  collected(report: GcReport): void {
    this.#collections.inc();
    this.#freed.inc(report.bytes);
  }

  /** All of it, in Prometheus' text. */
  async answer(): Promise<Response> {
    return new Response(await this.#series.metrics(), { headers: { "content-type": this.#series.contentType } });
  }

  #gauges(prom: typeof import("prom-client"), registers: Series[], state: State, content: Storage): void {
    const gauge = (last: string, help: string, read: (gauge: Gauge) => void, labelNames: string[] = []): void => {
      const each: Gauge = new prom.Gauge({ name: `lighter_registry_${last}`, help, labelNames, registers, collect: () => read(each) });
    };
    const count = (sql: string): number => state.get<{ n: number }>(sql)?.n ?? 0;
    gauge("uploads_open", "Uploads that were begun and not ended.", (each) =>
      each.set(count("SELECT COUNT(*) AS n FROM ingests WHERE ref >= 'upload:' AND ref < 'upload;'")),
    );
    gauge("tags", "Tags in all repositories.", (each) => each.set(count("SELECT COUNT(*) AS n FROM registry_tags")));
    gauge("repositories", "Repositories.", (each) => each.set(count("SELECT COUNT(DISTINCT repository) AS n FROM registry_links")));
    gauge("notices_queued", "Notifications that wait for their receivers.", (each) =>
      each.set(count("SELECT COUNT(*) AS n FROM registry_notices")),
    );
    gauge("cached_bytes", "Bytes of what repositories of upstreams show.", (each) => each.set(cachedBytes(state)));
    gauge(
      "storage_bytes",
      "Bytes of whole blobs, and of uploads under way.",
      (each) => {
        const { blobs, partial } = content.usage();
        each.set({ kind: "blobs" }, blobs);
        each.set({ kind: "partial" }, partial);
      },
      ["kind"],
    );
  }
}
