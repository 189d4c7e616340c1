import { hostname } from "node:os";
import type { ContainersOptions } from "../containers/needs.ts";
import type { Distribution, DistributionOptions } from "../distribution/distribution.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { DEFAULT_REACH } from "../networks/reach.ts";
import { appendEvent } from "../state/events.ts";
import type { State } from "../state/state.ts";
import type { EngineConfig } from "./config.ts";
import { NO_GC } from "./gc.ts";
import { daemonId } from "./info.ts";
import { REGISTRY_DEFAULTS } from "./registry-keys.ts";
import { VERSION } from "./version.ts";

/** What a reload reaches. */
export interface Reloadable {
  /** The configuration that holds: changed in place. */
  config: EngineConfig;
  state: State;
  runtime: Runtime;
  distribution: Distribution;
  containers: ContainersOptions;
}

/** Keys that are taken from the file when they stand in it, and stay as they are when not: as dockerd's. */
const KEPT = [
  "debug",
  "labels",
  "insecureRegistries",
  "registryMirrors",
  "nondistributable",
  "runtimes",
  "defaultRuntime",
  "shutdownTimeout",
  "shmSize",
] as const satisfies readonly (keyof EngineConfig)[];

/** Keys that go back to their default when they are gone from the file. */
const RESET = [
  "maxConcurrentDownloads",
  "maxConcurrentUploads",
  "maxDownloadAttempts",
  "mirrors",
  "registryConfigPath",
  "proxies",
] as const satisfies readonly (keyof EngineConfig)[];

/** Takes over what a daemon can change while it runs, and tells of it by the event `reload`. Throws before anything is changed. */
export async function reloadConfig(
  { config, state, runtime, distribution, containers }: Reloadable,
  given: Partial<EngineConfig>,
): Promise<void> {
  const actor = daemonId(state);
  const next: EngineConfig = { ...config, features: given.features ?? {} };
  for (const key of KEPT) if (given[key] !== undefined) Object.assign(next, { [key]: given[key] });
  for (const key of RESET) Object.assign(next, { [key]: given[key] ?? REGISTRY_DEFAULTS[key] });
  await runtime.configure({ runtimes: next.runtimes, defaultRuntime: next.defaultRuntime });
  Object.assign(config, next);
  config.publishedPorts = given.publishedPorts ?? DEFAULT_REACH;
  config.gc = given.gc ?? NO_GC;
  containers.defaultRuntime = config.defaultRuntime ?? "";
  containers.defaultShmSize = config.shmSize;
  if (given.containers !== undefined) {
    const { ipcMode, cgroupnsMode } = given.containers;
    containers.defaults = { ...containers.defaults, ipcMode, cgroupnsMode };
    config.containers = { ...config.containers, ipcMode, cgroupnsMode };
  }
  tellReload({ config, state, runtime, distribution }, actor);
}

/** Makes other mirrors hold, and nothing else of the file. */
export function reloadMirrors(parts: Omit<Reloadable, "containers">, next: Pick<EngineConfig, "mirrors" | "registryMirrors">): void {
  const actor = daemonId(parts.state);
  Object.assign(parts.config, next);
  tellReload(parts, actor);
}

function tellReload({ config, state, runtime, distribution }: Omit<Reloadable, "containers">, actor: string): void {
  distribution.configure(distributionOptions(config));
  const attributes = attributesOf(config, runtime);
  state.write((tx) => appendEvent(tx, { type: "daemon", action: "reload", actor, attributes }), { durable: false });
}

/** What the client of registries takes of a daemon's configuration. */
export function distributionOptions(config: EngineConfig): DistributionOptions {
  return {
    insecureRegistries: config.insecureRegistries,
    nondistributable: config.nondistributable,
    registryMirrors: config.registryMirrors,
    mirrors: config.mirrors,
    hostsDirectories: config.registryConfigPath,
    proxies: config.proxies,
    limits: {
      downloads: config.maxConcurrentDownloads,
      uploads: config.maxConcurrentUploads,
      attempts: config.maxDownloadAttempts,
    },
    certificateDirectories: [...new Set([...config.registryConfigPath, "/etc/docker/certs.d", "/etc/lighter/certs.d"])],
    userAgent: `lighter/${VERSION}`,
  };
}

/** The configuration as dockerd's event shows it: lists as JSON, maps as Go prints them. */
function attributesOf(config: EngineConfig, runtime: Runtime): Record<string, string> {
  const features = Object.entries(config.features).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return {
    "allow-nondistributable-artifacts": JSON.stringify(config.nondistributable),
    debug: String(config.debug),
    "default-cgroupns-mode": config.containers.cgroupnsMode ?? (runtime.cgroup.version === 2 ? "private" : "host"),
    "default-ipc-mode": config.containers.ipcMode,
    "default-runtime": runtime.record("").name,
    "default-shm-size": String(config.shmSize),
    features: `map[${features.map(([name, value]) => `${name}:${value}`).join(" ")}]`,
    "insecure-registries": JSON.stringify(config.insecureRegistries),
    labels: JSON.stringify(config.labels),
    "live-restore": "true",
    "max-concurrent-downloads": String(config.maxConcurrentDownloads),
    "max-concurrent-uploads": String(config.maxConcurrentUploads),
    "max-download-attempts": String(config.maxDownloadAttempts),
    name: hostname(),
    "registry-mirrors": JSON.stringify(config.registryMirrors),
    runtimes: runtime
      .records()
      .map(({ name, path }) => `${name}:${path}`)
      .join(" "),
    "shutdown-timeout": String(config.shutdownTimeout),
  };
}
