import { LighterError } from "../base/errors.ts";
import { mirrorUrl } from "../distribution/mirror-url.ts";
import type { ProxySettings } from "../distribution/proxy.ts";
import { isObject, texts, wrongValue } from "./key-values.ts";

/** What a daemon knows of registries, and how much it transfers at once. */
export interface RegistryConfig {
  /** Hosts, `host:port`, or networks in CIDR form. */
  insecureRegistries: string[];
  /** Mirrors of docker.io, as Docker's users write them. */
  registryMirrors: string[];
  /** Mirrors of any registry: its host as in image names, and addresses in the order to ask them. */
  mirrors: Record<string, string[]>;
  /** Directories of `<registry>/hosts.toml`, as containerd has them. */
  registryConfigPath: string[];
  /** Registries that may be sent foreign layers, which others are only told the addresses of. */
  nondistributable: string[];
  /** Instead of HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the daemon's environment. */
  proxies: ProxySettings;
  maxConcurrentDownloads: number;
  maxConcurrentUploads: number;
  maxDownloadAttempts: number;
}

/** What holds where neither flags nor file say anything. */
export const REGISTRY_DEFAULTS: RegistryConfig = {
  insecureRegistries: [],
  registryMirrors: [],
  mirrors: {},
  registryConfigPath: ["/etc/lighter/certs.d", "/etc/docker/certs.d"],
  nondistributable: [],
  proxies: {},
  maxConcurrentDownloads: 3,
  maxConcurrentUploads: 5,
  maxDownloadAttempts: 5,
};

const APPLY: Record<string, (given: Partial<RegistryConfig>, value: unknown, key: string) => void> = {
  "insecure-registries": (given, value, key) => (given.insecureRegistries = texts(key, value)),
  "registry-mirrors": (given, value, key) => (given.registryMirrors = mirrorsOf(key, value)),
  mirrors: (given, value, key) => (given.mirrors = mirrorMap(key, value)),
  "registry-config-path": (given, value, key) => (given.registryConfigPath = typeof value === "string" ? [value] : texts(key, value)),
  "allow-nondistributable-artifacts": (given, value, key) => (given.nondistributable = texts(key, value)),
  proxies: (given, value, key) => (given.proxies = proxiesOf(key, value)),
  "max-concurrent-downloads": (given, value) => (given.maxConcurrentDownloads = count("max concurrent downloads", value, 3)),
  "max-concurrent-uploads": (given, value) => (given.maxConcurrentUploads = count("max concurrent uploads", value, 5)),
  "max-download-attempts": (given, value) => (given.maxDownloadAttempts = attempts(value)),
};

/** Whether a key of daemon.json is about registries. */
export function isRegistryKey(key: string): boolean {
  return Object.hasOwn(APPLY, key);
}

/** Applies one key. Throws `invalid` with Docker's sentence where Docker has one. */
export function applyRegistryKey(given: Partial<RegistryConfig>, key: string, value: unknown): void {
  APPLY[key]?.(given, value, key);
}

function mirrorsOf(key: string, value: unknown): string[] {
  for (const mirror of texts(key, value)) mirrorUrl(mirror);
  return value as string[];
}

function mirrorMap(key: string, value: unknown): Record<string, string[]> {
  if (!isObject(value)) throw wrongValue(key, 'an object like {"ghcr.io": ["https://mirror.example.com"]}');
  for (const [registry, mirrors] of Object.entries(value)) {
    if (registry === "" || /[/\s]/.test(registry))
      throw wrongValue(key, `keyed by registries as image names have them, "${registry}" is none`);
    for (const mirror of texts(`${key}.${registry}`, mirrors)) mirrorUrl(mirror, { path: true });
  }
  return value as Record<string, string[]>;
}

function proxiesOf(key: string, value: unknown): ProxySettings {
  if (!isObject(value)) throw wrongValue(key, "an object");
  const proxies: ProxySettings = {};
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== "string") throw wrongValue(`${key}.${name}`, "a string");
    if (name === "http-proxy") proxies.http = text;
    else if (name === "https-proxy") proxies.https = text;
    else if (name === "no-proxy") proxies.none = text;
    else throw wrongValue(key, `an object of "http-proxy", "https-proxy" and "no-proxy", not "${name}"`);
  }
  return proxies;
}

/** Zero means the default, as in Docker. */
function count(words: string, value: unknown, fallback: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new LighterError("invalid", `invalid ${words}: ${JSON.stringify(value)}`);
  return value === 0 ? fallback : value;
}

function attempts(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value <= 0)
    throw new LighterError("invalid", `invalid max download attempts: ${JSON.stringify(value)}`);
  return value;
}
