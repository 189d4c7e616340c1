import type { Nanoseconds } from "../base/clock.ts";
import type { Containers } from "../containers/containers.ts";
import type { Images } from "../images/images.ts";
import type { Networks } from "../networks/networks.ts";
import type { StoredEvent } from "../state/events.ts";
import type { Volumes } from "../volumes/volumes.ts";
import type { SystemDataUsageResponse, SystemInfo, SystemVersion } from "../wire/engine-api.ts";
import type { Filters } from "../wire/filters.ts";
import type { EngineConfig } from "./config.ts";
import type { Freezer } from "./freeze.ts";
import type { Gc } from "./gc.ts";
import type { Mirrors } from "./mirrors.ts";

/** What of the event log a client wants. */
export interface EventQuery {
  since?: Nanoseconds;
  /** The stream ends here; undefined goes on for ever. */
  until?: Nanoseconds;
  filters: Filters;
  signal?: AbortSignal;
}

/** The whole engine as the doors see it. */
export interface Engine {
  /** Whether what Docker calls experimental (checkpoints) is switched on. */
  readonly experimental: boolean;
  readonly containers: Containers;
  readonly images: Images;
  readonly networks: Networks;
  readonly volumes: Volumes;
  /** Lets containers stand still while something is copied. */
  readonly freezer: Freezer;
  readonly mirrors: Mirrors;
  readonly gc: Gc;
  /** Stored events first, then new ones as they are committed; none is lost or repeated in between. */
  events(query: EventQuery): AsyncIterable<StoredEvent>;
  info(): Promise<SystemInfo>;
  version(): SystemVersion;
  diskUsage(options: { types?: ("container" | "image" | "volume" | "build-cache")[]; verbose: boolean }): Promise<SystemDataUsageResponse>;
  /** What it counts and measures, in Prometheus' text with its content type; none where nobody asked for it. */
  metrics?(): Promise<{ type: string; text: string }>;
  /** Takes over what can change while the daemon runs (Docker's SIGHUP). Throws before anything is changed. */
  reload(given: Partial<EngineConfig>): Promise<void>;
  /** Lets containers run on, stores what is in memory, closes. */
  [Symbol.asyncDispose](): Promise<void>;
}
