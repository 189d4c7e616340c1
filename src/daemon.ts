import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LogLevel } from "@logtape/logtape";
import { openApi } from "./api/open.ts";
import { versionLine } from "./cli/version-line.ts";
import { kindOf, LighterError, messageOf } from "./base/errors.ts";
import { logOf } from "./base/log.ts";
import { parseBytes } from "./base/units.ts";
import {
  applyExecOption,
  applyKeys,
  applyLogOption,
  completeConfig,
  daemonLabels,
  readConfigFile,
  type EngineConfig,
  type FileConfig,
} from "./engine/config.ts";
import { daemonHelp } from "./daemon-help.ts";
import { BYPASS, FIXED_PRIVILEGES, type Flags, isKeyFlag, keysOfFlags, parseFlags } from "./daemon-flags.ts";
import { applyContainerKey, applyDefaultUlimit, completeDefaults } from "./engine/container-keys.ts";
import type { Engine } from "./engine/engine.ts";
import { openEngine } from "./engine/open.ts";
import { applyNetworkKey, NETWORK_KEYS } from "./engine/network-keys.ts";
import { applyRegistryKey } from "./engine/registry-keys.ts";
import { lockFile } from "./linux/flock.ts";
import { passedSockets } from "./linux/passed-sockets.ts";
import { ensureMemory, leaveMemory } from "./linux/memory-directory.ts";
import { tellServiceManager } from "./linux/service-manager.ts";
import { releaseStartPages } from "./linux/start-pages.ts";
import { parseReach } from "./networks/reach.ts";
import { type LogFormat, openLog, parseFormat, parseLevel } from "./log-output.ts";
import { parsePoolFlag } from "./networks/pools.ts";
import { logRejections } from "./rejections.ts";

/** So long after its start the daemon has done what it does only once, in milliseconds. */
const SETTLED = 3000;
const DEFAULT_CONFIG_FILE = "/etc/lighter/daemon.json";

/** A daemon's whole set-up. */
interface DaemonConfig {
  engine: EngineConfig;
  hosts: string[];
  pidfile: string | undefined;
  log: { level: LogLevel; format: LogFormat };
  /** Group of the unix sockets. */
  group: string | undefined;
  /** What is to be told of keys that have no effect. */
  notes: readonly string[];
  tls: { verify: boolean; ca?: string; cert?: string; key?: string } | undefined;
  /** `--tls=false`: the user knows that a TCP socket without TLS gives root to everyone who reaches it. */
  allowPlainTcp: boolean;
}

/**
 * The life of `lighter daemon`: lock, open the engine, open the doors, wait for a signal, close. Containers live on.
 * Resolves with the exit code: 0 after SIGTERM or SIGINT, 1 when it could not start.
 */
export async function runDaemon(argv: string[]): Promise<number> {
  try {
    const flags = parseFlags(argv);
    if (flags.help === true) return say(process.stdout, daemonHelp());
    if (flags.version === true) return say(process.stdout, versionLine("lighter"));
    const config = daemonConfig(flags);
    if (flags.validate === true) return say(process.stderr, [...config.notes, "configuration OK", ""].join("\n"));
    // Modes are meant as they are written, whoever starts the daemon: containers look at some of them.
    process.umask(0o022);
    await openLog(config.log);
    tellNotes(config.notes);
    using _rejections = logRejections();
    surviveStrayErrors();
    refuseOthersRoot(config.engine.dataRoot);
    mkdirSync(config.engine.dataRoot, { recursive: true, mode: 0o710 });
    using _root = lockRoot(config.engine.dataRoot);
    ensureMemory(config.engine.execRoot);
    const left = await serve(config, argv);
    if (left === 0) leaveMemory(config.engine.execRoot);
    return 0;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    if (kindOf(error) === "internal" && error instanceof Error && error.stack) process.stderr.write(`${error.stack}\n`);
    return 1;
  }
}

/** Says what has no effect; braces are the log's own. */
function tellNotes(notes: readonly string[]): void {
  for (const note of notes) logOf("daemon").warn(note.replace(/[{}]/g, "$&$&"));
}

/** Prints the answer of a daemon that is not to start. */
function say(to: NodeJS.WriteStream, text: string): number {
  to.write(text);
  return 0;
}

/** An error that nobody awaited belongs to one client's request: it must not end the daemon for all others. */
function surviveStrayErrors(): void {
  const tell = (error: unknown): void =>
    logOf("daemon").error("an error that nobody took: {error}", { error: error instanceof Error ? (error.stack ?? error.message) : error });
  process.on("unhandledRejection", tell);
  process.on("uncaughtException", tell);
}

/** From the open engine to the signal that ends it; resolves with the number of containers that run on. */
async function serve(config: DaemonConfig, argv: string[]): Promise<number> {
  const log = logOf("daemon");
  const stopped = nextSignal();
  await using engine = await openEngine(config.engine);
  using _reload = reloadOnHangUp(argv, engine);
  await using _door = await openApi(engine, { ...config, metricsAddress: config.engine.metricsAddress });
  if (config.pidfile !== undefined) writeFileSync(config.pidfile, `${process.pid}\n`);
  tellManager("READY=1");
  log.info("ready on {hosts}", { hosts: config.hosts.join(" "), dataRoot: config.engine.dataRoot });
  const settled = setTimeout(releaseStartPages, SETTLED).unref();
  const signal = await stopped;
  clearTimeout(settled);
  tellManager("STOPPING=1");
  log.info("{signal}: closing, containers run on", { signal });
  if (config.pidfile !== undefined) rmSync(config.pidfile, { force: true });
  const { running, paused } = engine.containers.counts();
  return running + paused;
}

/** A manager that does not listen any more is no reason to stop. */
function tellManager(state: string): void {
  try {
    tellServiceManager(state);
  } catch (error) {
    logOf("daemon").warn("cannot tell the service manager {state}: {error}", { state, error: messageOf(error) });
  }
}

/** SIGHUP reads the configuration file again; what is wrong in it changes nothing. One after the other. */
function reloadOnHangUp(argv: string[], engine: Engine): Disposable {
  let turn = Promise.resolve();
  const reload = (): void => void (turn = turn.then(() => reloadFile(argv, engine)));
  process.on("SIGHUP", reload);
  return { [Symbol.dispose]: () => void process.off("SIGHUP", reload) };
}

async function reloadFile(argv: string[], engine: Engine): Promise<void> {
  const log = logOf("daemon");
  try {
    const flags = parseFlags(argv);
    const path = configFileOf(flags);
    log.info("Got signal to reload configuration, reloading from: {path}", { path });
    const file = readConfigFile(path, { required: true });
    const saysLevel = file.engine.debug !== undefined || file.logLevel !== undefined;
    applyFlags(file, flags);
    const output = logOutputOf(flags, file);
    await engine.reload(givenConfig(flags, file));
    // Where the file says nothing of it any more, the level stays.
    if (saysLevel) await openLog(output);
    tellNotes(file.notes);
    log.info("reloaded the configuration from {path}", { path });
  } catch (error) {
    log.error("unable to configure the daemon, nothing is changed: {error}", { error: messageOf(error) });
  }
}

function configFileOf(flags: Flags): string {
  return flags["config-file"] ?? DEFAULT_CONFIG_FILE;
}

/** Flags that are keys of the file go over those. */
function applyFlags(file: FileConfig, flags: Flags): void {
  applyKeys(file, keysOfFlags(flags), { where: "the command line", path: "" });
}

function daemonConfig(flags: Flags): DaemonConfig {
  const file = readConfigFile(configFileOf(flags), { required: flags["config-file"] !== undefined });
  applyFlags(file, flags);
  const engine = completeConfig(givenConfig(flags, file));
  return {
    engine,
    hosts: flags.host ?? file.hosts ?? [passedSockets().length > 0 ? "fd://" : `unix://${join(engine.execRoot, "lighter.sock")}`],
    pidfile: flags.pidfile ?? file.pidfile,
    log: logOutputOf(flags, file),
    group: file.group,
    notes: file.notes,
    tls: tlsOf(flags, file),
    allowPlainTcp: (flags.tls ?? file.tls.tls) === false,
  };
}

/** What the file says, and the flags over it. */
function givenConfig(flags: Flags, file: FileConfig): Partial<EngineConfig> {
  const given: Partial<EngineConfig> = {
    ...file.engine,
    configFile: configFileOf(flags),
    fixedMirrors: flags["registry-mirror"] !== undefined,
  };
  if (flags["data-root"] !== undefined) given.dataRoot = flags["data-root"];
  if (flags["exec-root"] !== undefined) given.execRoot = flags["exec-root"];
  if (flags["bridge-name"] !== undefined) given.bridgeName = flags["bridge-name"];
  if (flags.bip !== undefined) given.bip = flags.bip;
  if (flags["default-address-pool"] !== undefined) given.addressPools = flags["default-address-pool"].map(parsePoolFlag);
  if (flags["published-ports"] !== undefined) given.publishedPorts = parseReach(flags["published-ports"], "--published-ports");
  applyNetworkFlags(given, flags);
  if (flags["default-runtime"] !== undefined) given.defaultRuntime = flags["default-runtime"];
  if (flags["own-cgroup"] !== undefined) given.ownCgroup = flags["own-cgroup"];
  if (flags.experimental !== undefined) given.experimental = flags.experimental;
  if (flags.debug !== undefined) given.debug = flags.debug;
  applyRegistryFlags(given, flags);
  if (flags.label !== undefined) given.labels = daemonLabels(flags.label);
  if (flags["shutdown-timeout"] !== undefined) given.shutdownTimeout = secondsOf(flags["shutdown-timeout"]);
  applyContainerFlags(given, flags);
  for (const option of flags["exec-opt"] ?? []) applyExecOption(given, option);
  if (flags["log-driver"] !== undefined) given.logDriver = flags["log-driver"];
  for (const option of flags["log-opt"] ?? []) applyLogOption(given, option);
  for (const runtime of flags["add-runtime"] ?? []) {
    const [name = "", path = ""] = runtime.split("=");
    given.runtimes = { ...given.runtimes, [name]: { path } };
  }
  return given;
}

function secondsOf(text: string): number {
  if (!/^-?\d+$/.test(text))
    throw new LighterError("invalid", `Cannot use --shutdown-timeout "${text}": it must be a whole number of seconds`);
  return Number(text);
}

/** Flags about networks in general; each is a key of daemon.json, too, but for the names of lists. */
function applyNetworkFlags(given: Partial<EngineConfig>, flags: Flags): void {
  const defaults = { ...given.networkDefaults };
  const values: Record<string, unknown> = {
    ...flags,
    "dns-opts": flags["dns-opt"],
    ...(flags.mtu !== undefined && { mtu: Number(flags.mtu) }),
  };
  for (const key of NETWORK_KEYS) if (!isKeyFlag(key) && values[key] !== undefined) applyNetworkKey(defaults, key, values[key]);
  given.networkDefaults = defaults;
}

/** Flags about registries; each is a key of daemon.json, too. */
function applyRegistryFlags(given: Partial<EngineConfig>, flags: Flags): void {
  if (flags["registry-mirror"] !== undefined) applyRegistryKey(given, "registry-mirrors", flags["registry-mirror"]);
  if (flags["insecure-registry"] !== undefined) applyRegistryKey(given, "insecure-registries", flags["insecure-registry"]);
  const artifacts = "allow-nondistributable-artifacts";
  if (flags[artifacts] !== undefined) applyRegistryKey(given, artifacts, flags[artifacts]);
  for (const key of ["max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"] as const)
    if (flags[key] !== undefined) applyRegistryKey(given, key, Number(flags[key]));
  const { "http-proxy": http, "https-proxy": https, [BYPASS]: none } = flags;
  if (http !== undefined || https !== undefined || none !== undefined)
    given.proxies = { ...given.proxies, ...(http && { http }), ...(https && { https }), ...(none && { none }) };
}

function logOutputOf(flags: Flags, file: FileConfig): DaemonConfig["log"] {
  const asked = (flags.debug ?? file.engine.debug) ? "debug" : (flags["log-level"] ?? file.logLevel ?? "info");
  return { level: parseLevel(asked), format: parseFormat(file.logFormat ?? "text") };
}

/** Flags about containers that say nothing themselves; each is a key of daemon.json, too. */
function applyContainerFlags(given: Partial<EngineConfig>, flags: Flags): void {
  const keys = ["default-ipc-mode", "default-cgroupns-mode", "seccomp-profile", "cgroup-parent", "init-path"] as const;
  const defaults = { ...completeDefaults(given.containers ?? {}) };
  for (const key of keys) if (flags[key] !== undefined) applyContainerKey(defaults, key, flags[key]);
  const fixed = flags[FIXED_PRIVILEGES];
  if (fixed !== undefined) applyContainerKey(defaults, "no-new-privileges", fixed);
  if (flags["cdi-spec-dir"] !== undefined) applyContainerKey(defaults, "cdi-spec-dirs", flags["cdi-spec-dir"]);
  for (const ulimit of flags["default-ulimit"] ?? []) applyDefaultUlimit(defaults, ulimit);
  given.containers = defaults;
  if (flags["default-shm-size"] !== undefined) given.shmSize = parseBytes(flags["default-shm-size"]);
  if (flags.init !== undefined) given.init = flags.init;
}

function tlsOf(flags: Flags, file: FileConfig): DaemonConfig["tls"] {
  const { tls = file.tls.tls, tlsverify = file.tls.tlsverify } = flags;
  if (tls !== true && tlsverify !== true) return undefined;
  const { tlscacert: ca = file.tls.ca, tlscert: cert = file.tls.cert, tlskey: key = file.tls.key } = flags;
  return {
    verify: tlsverify === true,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

/** What dockerd's data roots have, and ours have not. */
const DOCKER_MARKS = ["engine-id", "image", "overlay2", "buildkit", "containerd"];

/** Two engines in one directory would take each other's files for their own. */
function refuseOthersRoot(dataRoot: string): void {
  const has = (name: string): boolean => existsSync(join(dataRoot, name));
  const mark = has("state.db") ? undefined : DOCKER_MARKS.find(has);
  if (mark === undefined) return;
  const sentence = `Cannot use data root "${dataRoot}": it is another engine's (it has "${mark}")`;
  throw new LighterError(
    "conflict",
    `${sentence}; give Lighter a directory of its own by "data-root" or --data-root, Docker's stays as it is`,
  );
}

/** One daemon a data root: whoever holds the lock. It goes with the process, however that ends. */
function lockRoot(dataRoot: string): Disposable {
  const lock = lockFile(join(dataRoot, "lock"));
  if (lock === undefined) throw new LighterError("conflict", `Cannot start a daemon on "${dataRoot}": another one is running on it`);
  return lock;
}

function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
    // Before the engine is open there is nothing to reload.
    process.on("SIGHUP", () => {});
  });
}
