import { BlockList, isIP } from "node:net";

/** Proxies for requests to registries. What is left out is taken from the environment. */
export interface ProxySettings {
  http?: string;
  https?: string;
  /** Hosts that are asked directly: names, `.domain`, `*`, addresses, networks, each with a port if one is meant. */
  none?: string;
}

/** The settings with what the environment says in the gaps: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in either case. */
export function completeProxies(given: ProxySettings, environment: Record<string, string | undefined> = process.env): ProxySettings {
  const pick = (own: string | undefined, name: string): string | undefined =>
    own ?? (environment[name] || environment[name.toLowerCase()] || undefined);
  const http = pick(given.http, "HTTP_PROXY");
  const https = pick(given.https, "HTTPS_PROXY");
  const none = pick(given.none, "NO_PROXY");
  return { ...(http && { http }), ...(https && { https }), ...(none && { none }) };
}

/** The proxy for a URL; undefined: none. This machine itself is never asked through one. Rules as Go's (golang.org/x/net/http/httpproxy). */
export function proxyFor(url: string, settings: ProxySettings): string | undefined {
  const { protocol, hostname, port } = new URL(url);
  const proxy = protocol === "https:" ? settings.https : settings.http;
  if (!proxy) return undefined;
  const name = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const number = port === "" ? (protocol === "https:" ? "443" : "80") : port;
  if (name === "localhost" || isLoopbackAddress(name) || isExcepted(name, number, settings.none ?? "")) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function isLoopbackAddress(name: string): boolean {
  return (isIP(name) === 4 && name.startsWith("127.")) || name === "::1";
}

function isExcepted(name: string, port: string, list: string): boolean {
  return list
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== "" && fits(name, port, entry));
}

function fits(name: string, port: string, entry: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return isInNetwork(name, entry);
  const [, bracketed, plain, wanted] = /^(?:\[([^\]]+)\]|([^:]*|.*:.*:.*?))(?::(\d+))?$/.exec(entry) ?? [];
  const host = bracketed ?? plain ?? "";
  if (wanted !== undefined && wanted !== port) return false;
  if (isIP(host) !== 0) return isInNetwork(name, `${host}/${isIP(host) === 4 ? 32 : 128}`);
  const domain = host.replace(/^\*?\./, "");
  const dotted = host !== domain;
  return domain !== "" && ((name === domain && !dotted) || name.endsWith(`.${domain}`));
}

/** Whether an address lies in a network in CIDR form; false for names. */
export function isInNetwork(address: string, network: string): boolean {
  const [base = "", bits = ""] = network.split("/");
  const family = isIP(base);
  if (family === 0 || family !== isIP(address) || !/^\d+$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  const type = family === 4 ? "ipv4" : "ipv6";
  list.addSubnet(base, Number(bits), type);
  return list.check(address, type);
}
