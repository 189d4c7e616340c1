import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { node } from "./node.ts";

/** What `auths` of the config file keeps for a registry. */
export interface StoredAuth {
  /** base64 of `user:password` */
  auth?: string;
  email?: string;
  /** Written by hand, or by other programs, instead of `auth`. */
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
}

/** docker's `config.json`, as far as it is read here; other fields survive a save. */
export interface ConfigFile {
  auths?: Record<string, StoredAuth>;
  credsStore?: string;
  credHelpers?: Record<string, string>;
  HttpHeaders?: Record<string, string>;
  currentContext?: string;
  detachKeys?: string;
  psFormat?: string;
  imagesFormat?: string;
  networksFormat?: string;
  volumesFormat?: string;
  statsFormat?: string;
  proxies?: Record<string, Record<string, string>>;
  cliPluginsExtraDirs?: string[];
  /** `builder` to the words it stands for. */
  aliases?: Record<string, string>;
  [other: string]: unknown;
}

/** The folder of docker's client configuration: `--config`, DOCKER_CONFIG or `~/.docker`. */
export function configFolder(flag: string | undefined, env: NodeJS.ProcessEnv): string {
  if (flag !== undefined && flag !== "") return flag;
  return env["DOCKER_CONFIG"] || `${(env["HOME"] || node.os.homedir()).replace(/\/+$/, "")}/.docker`;
}

/** Reads `config.json`; an absent file is an empty configuration. Throws `invalid` for one that is not JSON. */
export function readConfig(folder: string): ConfigFile {
  // Most have none, and need not load `node:fs` to learn it.
  if (isNothing(`${folder}/config.json`)) return {};
  const path = node.path.join(folder, "config.json");
  try {
    return parseConfig(node.fs.readFileSync(path, "utf8"), path);
  } catch (error) {
    if (isAbsent(error)) return {};
    if (kindOf(error) === "invalid") throw error;
    throw new LighterError("internal", `Error loading config file: ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** Whether there is no such file, without `node:fs`: the size tells that there is something, and an attempt to map it, why there is nothing. */
function isNothing(path: string): boolean {
  if (Bun.file(path).size > 0) return false;
  try {
    Bun.mmap(path, { shared: false });
    return false;
  } catch (error) {
    return isAbsent(error);
  }
}

function isAbsent(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(String((error as { code?: string }).code));
}

function parseConfig(text: string, path: string): ConfigFile {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw new LighterError("invalid", "expected an object");
    return parsed as ConfigFile;
  } catch (error) {
    throw new LighterError("invalid", `Error parsing config file (${path}): ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Writes `config.json` (tabs, readable by the user alone), by rename, so that a reader never sees half of it. Where it is a link, its target is written.
 * Throws `invalid` for a file that is there and cannot be understood: what it holds would be lost.
 */
export function saveConfig(folder: string, config: ConfigFile): void {
  const { fs, path: paths } = node;
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  readConfig(folder);
  const path = targetOf(paths.join(folder, "config.json"));
  const draft = `${path}.${process.pid}`;
  fs.writeFileSync(draft, JSON.stringify(config, null, "\t"), { mode: 0o600 });
  fs.chmodSync(draft, 0o600);
  fs.renameSync(draft, path);
}

function targetOf(path: string): string {
  try {
    return node.fs.realpathSync(path);
  } catch {
    // Not there yet.
    return path;
  }
}
