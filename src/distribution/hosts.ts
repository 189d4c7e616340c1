import { isIP } from "node:net";
import { LighterError } from "../base/errors.ts";
import { DEFAULT_REGISTRY } from "../base/reference.ts";
import type { Credentials, DistributionOptions, RegistryHost } from "./distribution.ts";
import { hostsFileOf, type FileHost } from "./hosts-file.ts";
import { isInNetwork } from "./proxy.ts";

/** Where the registry called docker.io really listens. */
export const DOCKER_HUB = "https://registry-1.docker.io";

type HostOptions = Pick<DistributionOptions, "insecureRegistries" | "registryMirrors" | "mirrors" | "hostsDirectories">;

/** An address, and where it is configured. */
export interface ConfiguredHost {
  host: RegistryHost;
  /** `registry-mirrors`, `mirrors`, the path of a `hosts.toml`; empty for the registry itself. */
  source: string;
}

/**
 * All addresses of a registry in the order to ask them: mirrors of daemon.json, those of its `hosts.toml`, then the registry itself.
 * Throws `invalid` for a `hosts.toml` that cannot be understood.
 */
export function hostsOf(registry: string, options: HostOptions): ConfiguredHost[] {
  const { insecureRegistries: insecure, registryMirrors, mirrors = {} } = options;
  const file = hostsFileOf(options.hostsDirectories ?? [], registry);
  const origin = originOf(registry, insecure);
  const own = (registry === DEFAULT_REGISTRY ? registryMirrors : []).map((url) => ({
    host: mirrorHost(url, insecure),
    source: "registry-mirrors",
  }));
  const mapped = (mirrors[registry] ?? []).map((url) => ({
    host: { ...mirrorHost(url, insecure), namespace: registry },
    source: "mirrors",
  }));
  const listed = (file?.hosts ?? []).map((each) => ({ host: fileHost(each, { registry, origin }), source: file?.path ?? "" }));
  const last = file?.server === undefined ? origin : { ...fileHost(file.server, { registry, origin }), mirror: false };
  return [...own, ...mapped, ...listed, { host: last, source: "" }];
}

/** The registry itself. Throws `invalid` for a port that cannot be. */
export function originOf(registry: string, insecure: readonly string[]): RegistryHost {
  if (registry === DEFAULT_REGISTRY) return { url: DOCKER_HUB, insecure: false };
  const port = /:(\d+)$/.exec(registry)?.[1];
  if (Number(port ?? 0) > 65535)
    throw new LighterError("invalid", `Get "https://${registry}/v2/": dial tcp: address ${port}: invalid port`);
  return { url: `https://${registry}`, insecure: isInsecure(registry, insecure) };
}

/** Whether an address is the registry's own host, and not over HTTP where that is not allowed: it alone gets the registry's credentials. */
export function isOrigin(host: RegistryHost, registry: string, insecure: readonly string[]): boolean {
  const origin = originOf(registry, insecure);
  return sameHost(host.url, origin.url) && (host.url.startsWith("https://") || origin.insecure);
}

function sameHost(one: string, other: string): boolean {
  const [a, b] = [new URL(one), new URL(other)];
  const port = (url: URL): string => url.port || (url.protocol === "http:" ? "80" : "443");
  return a.hostname === b.hostname && (port(a) === port(b) || (a.port === "" && b.port === ""));
}

/** A mirror as it stands in daemon.json; a name and a password in its URL are for it alone. */
export function mirrorHost(mirror: string, insecure: readonly string[]): RegistryHost {
  const { url, credentials } = withoutUser(mirror.replace(/\/+$/, ""));
  const host: RegistryHost = { url, insecure: url.startsWith("http://") || isInsecure(new URL(url).host, insecure), mirror: true };
  return credentials === undefined ? host : { ...host, credentials };
}

function fileHost(
  { url: text, capabilities, ...rest }: FileHost,
  { registry, origin }: { registry: string; origin: RegistryHost },
): RegistryHost {
  const { url, credentials } = withoutUser(text);
  const own = sameHost(url, origin.url);
  return {
    ...rest,
    url,
    insecure: url.startsWith("http://"),
    mirror: !own,
    ...(own ? {} : { namespace: registry }),
    // A mirror takes pushes only where that is written down.
    capabilities: capabilities ?? (own ? ["pull", "resolve", "push"] : ["pull", "resolve"]),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

function withoutUser(text: string): { url: string; credentials?: Credentials } {
  const url = new URL(text);
  if (url.username === "") return { url: text };
  const credentials = { username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) };
  url.username = url.password = "";
  return { url: url.href.replace(/\/+$/, ""), credentials };
}

/** Whether HTTP, and HTTPS without a check, is allowed: loopback always, others by `insecure-registries` (host, host:port, or a network in CIDR form). */
export function isInsecure(host: string, insecure: readonly string[]): boolean {
  return isLoopback(hostnameOf(host)) || isListed(host, insecure);
}

/** Whether a list of the configuration means a host: as host, host:port, or by a network in CIDR form. */
export function isListed(host: string, list: readonly string[]): boolean {
  const name = hostnameOf(host);
  return list
    .map((entry) => entry.replace(/^https?:\/\//i, ""))
    .some((entry) => entry === host || entry === name || isInNetwork(name, entry));
}

/** The name without its port and without brackets. */
export function hostnameOf(host: string): string {
  return host.startsWith("[") ? host.slice(1, host.indexOf("]")) : host.replace(/:\d+$/, "");
}

/** Whether a host name means this machine itself. */
export function isLoopback(name: string): boolean {
  return name === "localhost" || name === "::1" || (isIP(name) === 4 && name.startsWith("127."));
}
