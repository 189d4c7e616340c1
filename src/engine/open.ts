import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { loadDefaultProfile } from "../containers/apparmor.ts";
import type { Desired } from "../containers/desired.ts";
import type { ContainersOptions } from "../containers/needs.ts";
import { openContainers } from "../containers/open.ts";
import { hostFilesOf } from "../containers/paths.ts";
import type { Containers } from "../containers/containers.ts";
import { openContent } from "../content/open.ts";
import { openDistribution } from "../distribution/open.ts";
import type { ImagesNeeds } from "../images/needs.ts";
import { openImages } from "../images/open.ts";
import { inheritedNofile } from "../linux/inherited-limit.ts";
import { isAlive } from "../linux/process.ts";
import type { NetworksNeeds } from "../networks/needs.ts";
import type { NetworksOptions } from "../networks/networks.ts";
import { openNetworks } from "../networks/open.ts";
import { openRegistry } from "../registry/open.ts";
import { REGISTRY_ROOTS } from "../registry/rows.ts";
import { parseSettings, type Settings } from "../registry/settings.ts";
import { shippedImages } from "../registry/shipped.ts";
import { openRuntime } from "../runtime/open.ts";
import type { TaskRecord } from "../runtime/runtime.ts";
import { State } from "../state/state.ts";
import { openVolumes } from "../volumes/open.ts";
import type { EngineConfig } from "./config.ts";
import type { Engine } from "./engine.ts";
import { streamEvents } from "./events.ts";
import { Freezer } from "./freeze.ts";
import { startGc } from "./gc.ts";
import { systemInfo } from "./info.ts";
import { openMirrors } from "./mirrors.ts";
import { distributionOptions, reloadConfig, reloadMirrors } from "./reload.ts";
import { checkStorageSize } from "./storage-keys.ts";
import { trimEventsRegularly } from "./trim-events.ts";
import { tryOverlay } from "./trial-overlay.ts";
import { EngineMetrics } from "./metrics.ts";
import { openRemap } from "./userns-remap.ts";
import { diskUsage } from "./usage.ts";
import { EGRESS_LABEL } from "../wire/labels.ts";
import { systemVersion } from "./version.ts";

/** Partial downloads that nobody went on with for a week. */
const PARTIAL_AGE_MS = 7 * 24 * 3600 * 1000;

/**
 * Opens every part in order, gives each what it needs of the others, and takes up what an earlier daemon left running.
 * The caller holds the lock of the data root.
 */
export async function openEngine(given: EngineConfig): Promise<Engine> {
  // Changed in place by a reload.
  const config = { ...given };
  const { dataRoot, execRoot } = config;
  checkStorageSize(config);
  const state = new State(join(dataRoot, "state.db"));
  const endTrimming = trimEventsRegularly(state);
  const [content, runtime] = await Promise.all([
    openContent({ dataRoot, state, roots: [REGISTRY_ROOTS], maxLayerSize: config.maxLayerSize }),
    openRuntime({
      execRoot,
      cgroupParent: config.cgroupParent,
      ownCgroup: config.ownCgroup,
      cgroupDriver: config.cgroupDriver,
      runtimes: config.runtimes,
      defaultRuntime: config.defaultRuntime,
    }),
  ]);
  // Goes on while the other parts open; a failure shows where it is awaited.
  const trial = tryOverlay(dataRoot, (rootfs) => runtime.openRoot(rootfs));
  trial.catch(() => undefined);
  const network = config.registry && { config: config.registry, folder: join(dataRoot, "registry"), patient: true };
  const registry =
    config.builtinRegistry || network !== undefined
      ? await openRegistry({
          state,
          content,
          socket: join(execRoot, "registry.sock"),
          shipped: shippedImages,
          network,
          settings: registrySettings(config),
        })
      : undefined;
  const distribution = openDistribution(distributionOptions(config));
  const images = openImages({
    state,
    content,
    distribution,
    ...(config.signaturePolicy !== undefined && { signaturePolicy: { path: config.signaturePolicy, required: true } }),
    needs: { users: usersOfImage(state), builtin: config.builtinRegistry ? registry : undefined },
  });
  const networkSettings = networkOptions(config);
  const metrics = config.metricsAddress ? await EngineMetrics.open() : undefined;
  const openedNetworks = await openNetworks({
    state,
    needs: {
      container: containerOf(state),
      egress: egressLabelOf(state),
      files: (id) => hostFilesOf(dataRoot, id),
      placeHelper: (pid) => runtime.placeHelper(pid),
    },
    options: networkSettings,
  });
  const networks = metrics?.timedNetworks(openedNetworks) ?? openedNetworks;
  const volumes = openVolumes({ state, content, distribution, dataRoot, maxLayerSize: config.maxLayerSize });
  config.containers = { ...config.containers, nofile: inheritedNofile(), appArmorProfile: await loadDefaultProfile() };
  const noOverlay = await trial;
  const users = config.usernsRemap ? await openRemap(config.usernsRemap, { dataRoot, execRoot, runtime }) : undefined;
  if (users === undefined) delete config.usernsRemap;
  const options = { ...containersOptions(config), copies: noOverlay !== undefined, users };
  const openedContainers: Containers = openContainers({
    state,
    content,
    runtime,
    images,
    networks,
    volumes,
    options,
  });
  const containers = metrics?.timedContainers(openedContainers) ?? openedContainers;
  await networks.restore(runningContainers(state));
  await containers.restore();
  const freezer = new Freezer({ state, containers });
  await freezer.thawLeft();
  void content.sweepPartials(PARTIAL_AGE_MS);

  const gc = startGc({ config, images, state });

  let listeners = 0;
  const info: Engine["info"] = () => systemInfo({ config, state, runtime, containers, images, networks, listeners, noOverlay });
  const driver = noOverlay === undefined ? "overlayfs" : "native";
  metrics?.watch({ state, containers, listeners: () => listeners, driver });
  return {
    experimental: config.experimental,
    containers,
    images,
    networks,
    volumes,
    freezer,
    gc,
    mirrors: openMirrors({
      config,
      distribution,
      apply: (next) => reloadMirrors({ config, state, runtime, distribution }, next),
    }),
    async *events(query) {
      listeners++;
      try {
        yield* streamEvents(state, query);
      } finally {
        listeners--;
      }
    },
    info: metrics?.timedInfo(info) ?? info,
    ...(metrics && { metrics: () => metrics.text() }),
    version: () =>
      systemVersion(
        config.experimental,
        runtime.records().map(({ name, version }) => ({ name, version })),
      ),
    reload: async (file) => {
      await reloadConfig({ config, state, runtime, distribution, containers: options }, file);
      await networks.reconfigure({ reach: config.publishedPorts });
    },
    diskUsage: (query) => diskUsage({ containers, images, volumes, content, dataRoot }, query),
    async [Symbol.asyncDispose]() {
      endTrimming();
      gc[Symbol.dispose]();
      images.exchange.close();
      await containers[Symbol.asyncDispose]();
      await networks[Symbol.asyncDispose]();
      await registry?.[Symbol.asyncDispose]();
      await runtime[Symbol.asyncDispose]();
      state.close();
    },
  };
}

function containersOptions(config: EngineConfig): ContainersOptions {
  return {
    dataRoot: config.dataRoot,
    execRoot: config.execRoot,
    cgroupParent: config.cgroupParent,
    defaultStopTimeout: config.stopTimeout,
    defaultLogDriver: config.logDriver,
    defaultLogOptions: config.logOptions,
    defaultShmSize: config.shmSize,
    defaults: config.containers,
    defaultRuntime: config.defaultRuntime ?? "",
    init: config.init,
  };
}

/** Care of what the registry in the daemon keeps. Its blobs are the engine's own: they cannot be elsewhere. */
function registrySettings({ registry }: EngineConfig): Settings | undefined {
  if (registry === undefined) return undefined;
  const settings = parseSettings(registry.rest);
  if (settings.s3 === undefined) return settings;
  throw new LighterError(
    "invalid",
    "Cannot keep blobs of the daemon's registry in a bucket: they are the images' own; run \"lighter registry serve\" for that",
  );
}

function networkOptions(config: EngineConfig): NetworksOptions {
  return {
    dataRoot: config.dataRoot,
    execRoot: config.execRoot,
    bridgeName: config.bridgeName,
    table: config.scope,
    addressPools: config.addressPools,
    reach: config.publishedPorts,
    bip: config.bip,
    defaults: config.networkDefaults,
    poolSize: config.networkPool,
  };
}

interface ContainerRow {
  id: string;
  name: string;
  status: string;
  task_json: string | null;
}

/** Which containers use an image: images/ must not remove it under them. */
function usersOfImage(state: State): ImagesNeeds["users"] {
  return (image) =>
    state
      .all<ContainerRow>("SELECT id, name, status, task_json FROM containers WHERE image = ?", image)
      .map(({ id, name, status }) => ({ id, name, running: RUNNING.has(status) }));
}

const RUNNING: ReadonlySet<string> = new Set(["starting", "running", "paused", "stopping"]);

/** The container that `--network container:x` means: networks/ joins its init's namespace. */
function containerOf(state: State): NetworksNeeds["container"] {
  return (reference) => {
    const row = findContainer(state, reference);
    if (row === undefined) throw new LighterError("not-found", `No such container: ${reference}`);
    return { id: row.id, name: row.name, pid: pidOf(row) };
  };
}

/** What a container's own label says of what it may reach. */
function egressLabelOf(state: State): NetworksNeeds["egress"] {
  return (id) => {
    const row = state.get<{ config_json: string }>("SELECT config_json FROM containers WHERE id = ?", id);
    return row === undefined ? undefined : (JSON.parse(row.config_json) as Desired).config.Labels?.[EGRESS_LABEL];
  };
}

function findContainer(state: State, reference: string): ContainerRow | undefined {
  const columns = "SELECT id, name, status, task_json FROM containers";
  const exact = state.get<ContainerRow>(`${columns} WHERE id = ? OR name = ?`, reference, reference.replace(/^\//, ""));
  if (exact !== undefined || !/^[0-9a-f]+$/.test(reference)) return exact;
  const matches = state.all<ContainerRow>(`${columns} WHERE id >= ? AND id < ? LIMIT 2`, reference, `${reference}g`);
  return matches.length === 1 ? matches[0] : undefined;
}

function pidOf(row: ContainerRow): number | undefined {
  if (row.task_json === null || !RUNNING.has(row.status)) return undefined;
  const { task } = JSON.parse(row.task_json) as { task: TaskRecord };
  return isAlive(task.init) ? task.init.pid : undefined;
}

/** Containers whose init is still there after a restart of the daemon. */
function runningContainers(state: State): { containerId: string; pid: number }[] {
  return state.all<ContainerRow>("SELECT id, name, status, task_json FROM containers WHERE task_json IS NOT NULL").flatMap((row) => {
    const pid = pidOf(row);
    return pid === undefined ? [] : [{ containerId: row.id, pid }];
  });
}
