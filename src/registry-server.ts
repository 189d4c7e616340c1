import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LighterError, messageOf } from "./base/errors.ts";
import { logOf } from "./base/log.ts";
import type { RegistryServeCall } from "./cli/registry-serve.ts";
import { openContent } from "./content/open.ts";
import { lockFile } from "./linux/flock.ts";
import { tellServiceManager } from "./linux/service-manager.ts";
import { openLog, parseLevel } from "./log-output.ts";
import { DEFAULT_REGISTRY, parseRegistryConfig, type RegistryConfig } from "./registry/config.ts";
import { openRegistry } from "./registry/open.ts";
import { REGISTRY_ROOTS } from "./registry/rows.ts";
import { parseSettings, withFlags, type Settings } from "./registry/settings.ts";
import { logRejections } from "./rejections.ts";
import { State } from "./state/state.ts";

/**
 * The life of `lighter registry serve`: lock the folder, open the registry, serve until a signal, let requests end.
 * Resolves with the exit code: 0 after SIGTERM or SIGINT. Throws what keeps it from starting.
 */
export async function runRegistry(call: RegistryServeCall): Promise<number> {
  const { flags } = call;
  const config = configOf(call);
  const settings = withFlags(parseSettings(config.rest), flags);
  process.umask(0o077);
  await openLog({ level: parseLevel(flags["log-level"]) });
  using _rejections = logRejections();
  const tell = (error: unknown): void => logOf("registry").error("an error that nobody took: {error}", { error: messageOf(error) });
  process.on("unhandledRejection", tell);
  process.on("uncaughtException", tell);
  mkdirSync(flags.data, { recursive: true, mode: 0o700 });
  using _lock = lock(flags.data);
  await serve(flags.data, config, settings);
  return 0;
}

async function serve(folder: string, config: RegistryConfig, settings: Settings): Promise<void> {
  const log = logOf("registry");
  const stopped = nextSignal();
  using state = disposable(new State(join(folder, "state.db")));
  const content = await openContent({ dataRoot: folder, state: state.value, roots: [REGISTRY_ROOTS] });
  const nothing = (): Promise<[]> => Promise.resolve([]);
  await using registry = await openRegistry({
    state: state.value,
    content,
    socket: join(folder, "registry.sock"),
    shipped: nothing,
    network: { config, folder },
    settings,
  });
  tellManager("READY=1");
  log.info("ready on {addresses}", { addresses: registry.addresses.join(" "), data: folder });
  const signal = await stopped;
  tellManager("STOPPING=1");
  log.info("{signal}: closing", { signal });
}

/** A manager that does not listen any more is no reason to stop. */
function tellManager(state: string): void {
  try {
    tellServiceManager(state);
  } catch (error) {
    logOf("registry").warn("cannot tell the service manager {state}: {error}", { state, error: messageOf(error) });
  }
}

/** The file's settings, with what the flags say over them. */
function configOf({ flags, given }: RegistryServeCall): RegistryConfig {
  const file = flags.config === "" ? DEFAULT_REGISTRY : parseRegistryConfig(readJson(flags.config), flags.config);
  const config = { ...file, auth: { ...file.auth } };
  if (given.has("addr")) config.addresses = flags.addr;
  if (given.has("tls") || given.has("tlscert") || given.has("tlskey") || given.has("tlscacert"))
    config.tls = tlsOf(flags, given.has("tls"));
  if (given.has("tls") && !flags.tls) config.plain = true;
  if (flags.htpasswd !== "") config.auth.htpasswd = flags.htpasswd;
  if (flags.rights !== "") config.auth.rights = flags.rights;
  if (flags.tokens) config.auth.tokens = true;
  if (given.has("read-only")) config.readOnly = flags["read-only"];
  if (given.has("no-delete")) config.noDelete = flags["no-delete"];
  return config;
}

function tlsOf(flags: RegistryServeCall["flags"], isGiven: boolean): RegistryConfig["tls"] {
  if (isGiven && !flags.tls) return undefined;
  return {
    ...(flags.tlscert !== "" && { cert: flags.tlscert }),
    ...(flags.tlskey !== "" && { key: flags.tlskey }),
    ...(flags.tlscacert !== "" && { clientCa: flags.tlscacert }),
  };
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as unknown;
  } catch (cause) {
    throw new LighterError("invalid", `Cannot read the settings in "${path}": ${messageOf(cause)}`, { cause });
  }
}

/** One registry a folder: whoever holds the lock. It goes with the process, however that ends. */
function lock(folder: string): Disposable {
  const held = lockFile(join(folder, "lock"));
  if (held === undefined) throw new LighterError("conflict", `Cannot serve the registry in "${folder}": another process is using it`);
  return held;
}

function disposable(value: State): Disposable & { value: State } {
  return { value, [Symbol.dispose]: () => value.close() };
}

function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
    process.on("SIGHUP", () => {});
  });
}
