import { readdirSync, readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import type { Gauge, Histogram, Registry as Series } from "prom-client";
import { buildInfo } from "../base/build-info.ts";
import type { Containers } from "../containers/containers.ts";
import type { Networks } from "../networks/networks.ts";
import { lastSequence } from "../state/events.ts";
import type { State } from "../state/state.ts";
import type { Engine } from "./engine.ts";
import { daemonId } from "./info.ts";
import { machineArch, osRelease, VERSION } from "./version.ts";

/** Prometheus' own bounds, in seconds, as dockerd's histograms have them. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const PAGE = 4096;

const CONTAINER_ACTIONS = ["changes", "commit", "create", "delete", "start"] as const;
const NETWORK_ACTIONS = ["allocate", "connect", "release"] as const;

/** What the gauges are read from, each time they are asked for. */
export interface MetricSources {
  state: State;
  containers: Pick<Containers, "counts" | "healthChecks">;
  /** Open event streams. */
  listeners(): number;
  /** The driver's name, as `info` says it. */
  driver: string;
}

/** What dockerd tells Prometheus of itself, by its names. https://docs.docker.com/engine/daemon/prometheus/ */
export class EngineMetrics {
  readonly #prom: typeof import("prom-client");
  readonly #series: Series;
  readonly #containers: Histogram;
  readonly #networks: Histogram;
  readonly #host: Histogram;

  private constructor(prom: typeof import("prom-client")) {
    this.#prom = prom;
    this.#series = new prom.Registry();
    this.#containers = this.#seconds("container_actions", "Seconds that actions on containers take.", "action", CONTAINER_ACTIONS);
    this.#networks = this.#seconds("network_actions", "Seconds that actions on containers' networks take.", "action", NETWORK_ACTIONS);
    this.#host = this.#seconds("host_info_functions", "Seconds that questions about the host take.", "function", ["system_info"]);
  }

  /** Loads the library: nothing of it is there where nobody wants metrics. */
  static async open(): Promise<EngineMetrics> {
    return new EngineMetrics(await import("prom-client"));
  }

  /** The same containers, whose actions are timed. */
  timedContainers(containers: Containers): Containers {
    const time = this.#timer(this.#containers, "action");
    return {
      ...containers,
      changes: (...args) => time("changes", () => containers.changes(...args)),
      commit: (...args) => time("commit", () => containers.commit(...args)),
      create: (...args) => time("create", () => containers.create(...args)),
      remove: (...args) => time("delete", () => containers.remove(...args)),
      start: (...args) => time("start", () => containers.start(...args)),
    };
  }

  /** The same networks, whose actions are timed. */
  timedNetworks(networks: Networks): Networks {
    const time = this.#timer(this.#networks, "action");
    return {
      ...networks,
      enter: (...args) => time("allocate", () => networks.enter(...args)),
      leave: (...args) => time("release", () => networks.leave(...args)),
      connect: (...args) => time("connect", () => networks.connect(...args)),
    };
  }

  /** Times the answer of `info`. */
  timedInfo(info: Engine["info"]): Engine["info"] {
    return () => this.#timer(this.#host, "function")("system_info", info);
  }

  /** Adds what is read when it is asked for. */
  watch({ state, containers, listeners, driver }: MetricSources): void {
    const begun = lastSequence(state);
    this.#gauge("container_states_containers", "Containers by state.", "state", () => Object.entries(containers.counts()));
    this.#value("gauge", "engine_cpus_cpus", "Processors of the host.", () => cpus().length);
    this.#value("gauge", "engine_memory_bytes", "Bytes of memory of the host.", () => totalmem());
    this.#value("gauge", "events_subscribers_total", "Clients that follow events.", listeners);
    this.#value("counter", "events_total", "Events since the daemon's start.", () => lastSequence(state) - begun);
    this.#value("counter", "health_checks_total", "Health checks.", () => containers.healthChecks().total);
    this.#value("counter", "health_checks_failed_total", "Health checks that failed.", () => containers.healthChecks().failed);
    this.#info(state, driver);
    this.#process();
  }

  /** All of it in Prometheus' text, with its content type. */
  async text(): Promise<{ type: string; text: string }> {
    return { type: this.#series.contentType, text: await this.#series.metrics() };
  }

  #seconds(name: string, help: string, label: string, values: readonly string[]): Histogram {
    const registers = [this.#series];
    const histogram = new this.#prom.Histogram({
      name: `engine_daemon_${name}_seconds`,
      help,
      labelNames: [label],
      buckets: BUCKETS,
      registers,
    });
    for (const value of values) histogram.zero({ [label]: value });
    return histogram;
  }

  #timer(histogram: Histogram, label: string): <T>(value: string, work: () => Promise<T>) => Promise<T> {
    return async (value, work) => {
      const started = performance.now();
      const result = await work();
      histogram.observe({ [label]: value }, (performance.now() - started) / 1000);
      return result;
    };
  }

  #gauge(name: string, help: string, label: string, read: () => [string, number][]): void {
    const gauge = new this.#prom.Gauge({
      name: `engine_daemon_${name}`,
      help,
      labelNames: [label],
      registers: [this.#series],
      collect: () => {
        for (const [value, count] of read()) gauge.set({ [label]: value }, count);
      },
    });
  }

  #value(kind: "gauge" | "counter", name: string, help: string, read: () => number, prefix = "engine_daemon_"): void {
    const options = { name: `${prefix}${name}`, help, registers: [this.#series] };
    if (kind === "gauge") {
      const gauge: Gauge = new this.#prom.Gauge({ ...options, collect: () => gauge.set(read()) });
      return;
    }
    const counter = new this.#prom.Counter({
      ...options,
      collect: () => {
        counter.reset();
        counter.inc(read());
      },
    });
  }

  #info(state: State, graphdriver: string): void {
    const labels = {
      architecture: machineArch(),
      commit: buildInfo().commit,
      daemon_id: daemonId(state),
      graphdriver,
      kernel: release(),
      os: osRelease("PRETTY_NAME") || "Linux",
      os_type: "linux",
      os_version: osRelease("VERSION_ID"),
      version: VERSION,
    };
    const labelNames = Object.keys(labels);
    const help = "The engine and the system that it runs on.";
    new this.#prom.Gauge({ name: "engine_daemon_engine_info", help, labelNames, registers: [this.#series] }).set(labels, 1);
  }

  /** What Prometheus' libraries tell of every process. https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics */
  #process(): void {
    const begun = Date.now() / 1000 - process.uptime();
    const memory = (field: 0 | 1): number => Number(readFileSync("/proc/self/statm", "utf8").split(" ")[field]) * PAGE;
    const used = (): number => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    };
    this.#value("counter", "cpu_seconds_total", "Seconds of processor time of the daemon.", used, "process_");
    this.#value("gauge", "resident_memory_bytes", "Bytes of memory of the daemon.", () => memory(1), "process_");
    this.#value("gauge", "virtual_memory_bytes", "Bytes of address space of the daemon.", () => memory(0), "process_");
    this.#value("gauge", "open_fds", "Open descriptors of the daemon.", () => readdirSync("/proc/self/fd").length, "process_");
    this.#value("gauge", "start_time_seconds", "When the daemon was started, since 1970.", () => begun, "process_");
  }
}
