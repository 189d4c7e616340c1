import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import { validateLogging } from "../containers/log-options.ts";
import { parseBytes } from "../base/units.ts";
import type { ContainerDefaults } from "../containers/container-defaults.ts";
import { type AddressPool, parsePools } from "../networks/pools.ts";
import { type Reach } from "../networks/firewall.ts";
import type { NetworkDefaults } from "../networks/networks.ts";
import { DEFAULT_REACH, parseReach } from "../networks/reach.ts";
import { DEFAULT_ADDRESS_POOLS } from "../networks/subnets.ts";
import { parseAutomaticGc, type AutomaticGc } from "../images/gc-policy.ts";
import { parseRegistryConfig, type RegistryConfig as ServedRegistry } from "../registry/config.ts";
import { applyContainerKey, completeDefaults, isContainerKey } from "./container-keys.ts";
import { NO_GC } from "./gc.ts";
import { applyDockerKey, DOCKER_KEYS } from "./docker-keys.ts";
import { applyNetworkKey, isNetworkKey } from "./network-keys.ts";
import { applyRegistryKey, isRegistryKey, REGISTRY_DEFAULTS, type RegistryConfig } from "./registry-keys.ts";
import { parseRuntimes } from "./runtime-keys.ts";
import { applyStorageOption } from "./storage-keys.ts";

export const DEFAULT_DATA_ROOT = "/var/lib/lighter";
export const DEFAULT_EXEC_ROOT = "/run/lighter";

/** How a daemon is set up: flags over the configuration file over these defaults. Names of the file's keys are Docker's. */
export interface EngineConfig extends RegistryConfig {
  dataRoot: string;
  execRoot: string;
  bridgeName: string;
  bip: string | undefined;
  addressPools: readonly AddressPool[];
  networkDefaults: NetworkDefaults;
  /** Who reaches published ports from outside of the host where a network says nothing of it. */
  publishedPorts: Reach;
  /** nftables table and parent cgroup: `lighter` for the default data root, else with a suffix, so that daemons do not meet. */
  scope: string;
  cgroupParent: string;
  cgroupDriver: "auto" | "cgroupfs" | "systemd";
  /** The daemon moves into a cgroup of its own. */
  ownCgroup: boolean;
  runtimes: Record<string, { path: string; runtimeArgs?: string[] }>;
  defaultRuntime: string | undefined;
  labels: string[];
  /** Docker's switches by name: kept and shown. */
  features: Record<string, boolean>;
  /** Seconds: kept and shown, as containers outlive the daemon. */
  shutdownTimeout: number;
  /** The daemon logs at level debug. */
  debug: boolean;
  /** The configuration file, which `mirror add` and `rm` write. */
  configFile: string | undefined;
  /** Mirrors of docker.io were given on the command line, which outranks the file. */
  fixedMirrors: boolean;
  logDriver: string;
  logOptions: Record<string, string>;
  shmSize: number;
  /** Bytes that one layer of an image may unpack to; undefined: only what is out of proportion to its packed size is refused. */
  maxLayerSize?: number;
  /** What containers get that say nothing themselves. */
  containers: ContainerDefaults;
  stopTimeout: number;
  init: boolean;
  /** Switches on what Docker calls experimental: checkpoints. */
  experimental: boolean;
  /** Ready network namespaces that are kept for the default bridge. */
  networkPool: number;
  /** The built-in registry may stand in for Docker Hub where that cannot be reached. */
  builtinRegistry: boolean;
  /** The file that says whose signatures images must bear; undefined is the default file, which need not be there. */
  signaturePolicy?: string;
  /** When unused images go. */
  gc: AutomaticGc;
  /** `metrics-addr`: where metrics are served, `HOST:PORT`; undefined or empty for nowhere. */
  metricsAddress?: string;
  /** `userns-remap`: whose numbers new containers get, as it was given; undefined or empty for the host's. */
  usernsRemap?: string;
  /** The built-in registry is opened to the network, in this way. */
  registry: ServedRegistry | undefined;
}

/** Fills in what neither flags nor file say. Names on the host derive from the data root when it is not the default one. */
export function completeConfig(given: Partial<EngineConfig>): EngineConfig {
  // Programs that are started from elsewhere get these paths, too.
  const dataRoot = resolve(given.dataRoot ?? DEFAULT_DATA_ROOT);
  const execRoot = resolve(given.execRoot ?? DEFAULT_EXEC_ROOT);
  const suffix = dataRoot === DEFAULT_DATA_ROOT ? "" : createHash("sha256").update(dataRoot).digest("hex").slice(0, 8);
  const scope = suffix === "" ? "lighter" : `lighter-${suffix}`;
  const bridgeName = given.bridgeName ?? (suffix === "" ? "lighter0" : `lgt${suffix}`);
  if (bridgeName.length > 15 || !/^[A-Za-z0-9_.-]+$/.test(bridgeName)) {
    throw new LighterError(
      "invalid",
      `Cannot use bridge name "${bridgeName}": a network interface has 1 to 15 letters, digits, "_", "." or "-"`,
    );
  }
  const complete: EngineConfig = {
    bip: undefined,
    addressPools: DEFAULT_ADDRESS_POOLS,
    networkDefaults: {},
    publishedPorts: DEFAULT_REACH,
    scope,
    cgroupParent: `/${scope}`,
    cgroupDriver: "auto",
    ownCgroup: false,
    runtimes: {},
    defaultRuntime: undefined,
    ...REGISTRY_DEFAULTS,
    labels: [],
    features: {},
    shutdownTimeout: 15,
    debug: false,
    configFile: undefined,
    fixedMirrors: false,
    logDriver: "json-file",
    logOptions: {},
    shmSize: 64 * 2 ** 20,
    containers: completeDefaults({}),
    stopTimeout: 10,
    init: false,
    experimental: false,
    networkPool: 8,
    builtinRegistry: true,
    gc: NO_GC,
    registry: undefined,
    ...given,
    dataRoot,
    execRoot,
    bridgeName,
  };
  checkLogDefaults(complete);
  return complete;
}

/** What containers get where they say nothing of their log; throws `invalid` with Docker's sentence. */
function checkLogDefaults({ logDriver, logOptions }: Pick<EngineConfig, "logDriver" | "logOptions">): void {
  try {
    validateLogging({ Type: logDriver as "none", Config: logOptions });
  } catch (cause) {
    throw new LighterError("invalid", `failed to set log opts: ${messageOf(cause)}`, { cause });
  }
}

/** Settings of a daemon that are not the engine's: its doors and its log. */
export interface FileConfig {
  engine: Partial<EngineConfig>;
  hosts: string[] | undefined;
  pidfile: string | undefined;
  logLevel: string | undefined;
  logFormat: string | undefined;
  /** Group of the unix sockets, by name or number. */
  group: string | undefined;
  tls: { tls?: boolean; tlsverify?: boolean; ca?: string; cert?: string; key?: string };
  /** What is to be told of keys that have no effect. */
  notes: string[];
}

/** What an empty file says. */
function emptyFile(): FileConfig {
  const unknown = { hosts: undefined, pidfile: undefined, logLevel: undefined, logFormat: undefined, group: undefined };
  return { engine: {}, ...unknown, tls: {}, notes: [] };
}

/** Reads a daemon.json; a missing file is empty unless it was asked for by name. Throws `invalid` naming the key that is wrong. */
export function readConfigFile(path: string, options: { required: boolean }): FileConfig {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (!options.required) return emptyFile();
    throw new LighterError("invalid", `Cannot read the configuration file "${path}": ${(cause as Error).message}`, { cause });
  }
  if (text.trim() === "") return emptyFile();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new LighterError("invalid", `Cannot read the configuration file "${path}": ${(cause as Error).message}`, { cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new LighterError("invalid", `Cannot read the configuration file "${path}": it is not a JSON object`);
  const file = emptyFile();
  applyKeys(file, json as Record<string, unknown>, { where: `the configuration file "${path}"`, path });
  return file;
}

/** Applies keys as a daemon.json has them, which may come from elsewhere (`where`, for errors). Throws `invalid` naming the key that is wrong. */
export function applyKeys(file: FileConfig, json: Record<string, unknown>, { where, path }: { where: string; path: string }): void {
  const { engine, notes } = file;
  const wrong = (key: string, wanted: string): LighterError =>
    new LighterError("invalid", `Cannot use ${where}: "${key}" must be ${wanted}`);
  const text = (key: string, value: unknown): string => {
    if (typeof value !== "string") throw wrong(key, "a string");
    return value;
  };
  const texts = (key: string, value: unknown): string[] => {
    if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) throw wrong(key, "a list of strings");
    return value;
  };
  const textMap = (key: string, value: unknown): Record<string, string> => {
    const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isMap || !Object.values(value).every((item) => typeof item === "string")) throw wrong(key, "an object of strings");
    return value as Record<string, string>;
  };
  const flag = (key: string, value: unknown): boolean => {
    if (typeof value !== "boolean") throw wrong(key, "true or false");
    return value;
  };
  const number = (key: string, value: unknown): number => {
    if (typeof value !== "number" || !Number.isSafeInteger(value)) throw wrong(key, "a whole number");
    return value;
  };
  const flagMap = (key: string, value: unknown): Record<string, boolean> => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(key, "an object");
    for (const [name, item] of Object.entries(value)) flag(`${key}.${name}`, item);
    return value as Record<string, boolean>;
  };
  const keys: Record<string, (value: unknown, key: string) => void> = {
    "data-root": (value, key) => (engine.dataRoot = text(key, value)),
    "exec-root": (value, key) => (engine.execRoot = text(key, value)),
    bridge: (value, key) => applyBridge(engine, text(key, value)),
    bip: (value, key) => (engine.bip = text(key, value)),
    "published-ports": (value, key) => (engine.publishedPorts = parseReach(text(key, value), key)),
    "default-address-pools": (value) => (engine.addressPools = Bun.deepEquals(value, []) ? DEFAULT_ADDRESS_POOLS : parsePools(value)),
    "exec-opts": (value, key) => texts(key, value).forEach((option) => applyExecOption(engine, option)),
    runtimes: (value) => (engine.runtimes = parseRuntimes(value, notes)),
    "default-runtime": (value, key) => (engine.defaultRuntime = text(key, value)),
    labels: (value, key) => (engine.labels = daemonLabels(texts(key, value))),
    features: (value, key) => (engine.features = flagMap(key, value)),
    debug: (value, key) => (engine.debug = flag(key, value)),
    "log-driver": (value, key) => (engine.logDriver = text(key, value)),
    "log-opts": (value, key) => (engine.logOptions = textMap(key, value)),
    "shutdown-timeout": (value, key) => (engine.shutdownTimeout = number(key, value)),
    "default-shm-size": (value, key) => (engine.shmSize = typeof value === "number" ? number(key, value) : parseBytes(text(key, value))),
    "max-layer-size": (value, key) => {
      const size = typeof value === "number" ? value : parseBytes(text(key, value));
      if (!(size >= 0)) throw wrong(key, 'a size ("20g"), or 0 for none');
      engine.maxLayerSize = size === 0 ? Number.MAX_SAFE_INTEGER : size;
    },
    "storage-driver": (value, key) => checkStorageDriver(text(key, value), notes),
    "storage-opts": (value, key) => texts(key, value).forEach((option) => applyStorageOption(engine, option)),
    "default-stop-timeout": (value, key) => (engine.stopTimeout = number(key, value)),
    "default-init": (value, key) => ((engine.containers ??= completeDefaults({})).initPath ??= text(key, value) || undefined),
    "metrics-addr": (value, key) => (engine.metricsAddress = text(key, value)),
    "userns-remap": (value, key) => (engine.usernsRemap = text(key, value)),
    group: (value, key) => (file.group = text(key, value) || undefined),
    tls: (value, key) => (file.tls.tls = flag(key, value)),
    tlsverify: (value, key) => (file.tls.tlsverify = flag(key, value)),
    tlscacert: (value, key) => (file.tls.ca = text(key, value)),
    tlscert: (value, key) => (file.tls.cert = text(key, value)),
    tlskey: (value, key) => (file.tls.key = text(key, value)),
    "log-format": (value, key) => (file.logFormat = text(key, value)),
    experimental: (value, key) => (engine.experimental = flag(key, value)),
    init: (value, key) => (engine.init = flag(key, value)),
    // None is the default one, as with dockerd: a daemon without a door would be of no use.
    hosts: (value, key) => (file.hosts = texts(key, value).length > 0 ? texts(key, value) : undefined),
    pidfile: (value, key) => (file.pidfile = text(key, value)),
    "log-level": (value, key) => (file.logLevel = text(key, value)),
    "network-pool": (value) => (engine.networkPool = Number(value)),
    "signature-policy": (value, key) => (engine.signaturePolicy = text(key, value)),
    gc: (value) => (engine.gc = parseAutomaticGc(value)),
    "builtin-registry": (value) => (engine.builtinRegistry = value === true),
    registry: (value) => (engine.registry = parseRegistryConfig(value, path)),
  };
  for (const [key, value] of Object.entries(json)) {
    // As in whole files that name every key: nothing is asked for.
    if ((value === "" || value === null) && Object.hasOwn(DOCKER_KEYS, key)) continue;
    if (isContainerKey(key)) {
      applyContainerKey((engine.containers ??= completeDefaults({})), key, value);
      continue;
    }
    if (isRegistryKey(key)) {
      applyRegistryKey(engine, key, value);
      continue;
    }
    if (isNetworkKey(key)) {
      applyNetworkKey((engine.networkDefaults ??= {}), key, value);
      continue;
    }
    if (applyDockerKey(notes, key, value)) continue;
    const apply = Object.hasOwn(keys, key) ? keys[key] : undefined;
    if (apply === undefined) throw new LighterError("invalid", `Cannot use ${where}: unknown key "${key}"`);
    apply(value, key);
  }
}

/** The default bridge's name; Docker's word for none would leave containers with a network that they should not have. */
function applyBridge(engine: Partial<EngineConfig>, name: string): void {
  if (name === "none")
    throw new LighterError(
      "unsupported",
      `Cannot use "bridge": "none": there is a default bridge always; run containers with "--network none" instead`,
    );
  if (name !== "") engine.bridgeName = name;
}

/** There is one, whose name in Docker depends on its version; who used another one gets it, too. */
function checkStorageDriver(name: string, notes: string[]): void {
  if (["", "overlay2", "overlayfs"].includes(name)) return;
  if (["aufs", "btrfs", "devicemapper", "fuse-overlayfs", "native", "overlay", "vfs", "zfs"].includes(name))
    return void notes.push(`"storage-driver": "${name}" has no effect: layers are mounted by overlayfs, or copied where that cannot be`);
  throw new LighterError(
    "unsupported",
    `Cannot use "storage-driver": "${name}": layers are mounted by overlayfs, or copied where that cannot be`,
  );
}

/** Labels of a daemon: `key=value`, each key with one value. Throws `invalid` in Docker's words. */
export function daemonLabels(labels: string[]): string[] {
  const seen = new Map<string, string>();
  for (const label of labels) {
    const key = label.slice(0, Math.max(0, label.indexOf("=")));
    if (key === "") throw new LighterError("invalid", `bad attribute format: ${label}`);
    const other = seen.get(key);
    if (other !== undefined && other !== label) throw new LighterError("invalid", `conflict labels for ${other} and ${label}`);
    seen.set(key, label);
  }
  return [...new Set(labels)];
}

/** One `--log-opt KEY=VALUE`; a key alone has no value. */
export function applyLogOption(engine: Partial<EngineConfig>, option: string): void {
  const at = option.indexOf("=");
  const [key, value] = at < 0 ? [option, ""] : [option.slice(0, at), option.slice(at + 1)];
  engine.logOptions = { ...engine.logOptions, [key]: value };
}

/** One `--exec-opt`: `native.cgroupdriver=systemd|cgroupfs`. Throws `invalid` for others. */
export function applyExecOption(engine: Partial<EngineConfig>, option: string): void {
  const [key, value] = option.split("=");
  if (key !== "native.cgroupdriver" || (value !== "systemd" && value !== "cgroupfs")) {
    throw new LighterError(
      "invalid",
      `Cannot use exec option "${option}": expected native.cgroupdriver=systemd or native.cgroupdriver=cgroupfs`,
    );
  }
  engine.cgroupDriver = value;
}
