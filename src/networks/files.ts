import { readFileSync } from "node:fs";
import { isIP } from "node:net";

/** What a container's `/etc/hosts` is made of. */
export interface HostsInput {
  hostname: string;
  domainname: string;
  /** The container's own addresses. */
  addresses: string[];
  /** `name:address` or `name=address`, the address `host-gateway` standing for the host. */
  extraHosts: string[];
  hostGateway: string;
  /** Names that mean the host where nobody resolves them. */
  hostNames: readonly string[];
  /** Linked containers: address and the names that mean it. */
  links: { address: string; names: string[] }[];
}

const LOOPBACK = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/** `/etc/hosts` of a container with addresses of its own. */
export function hostsFile(input: HostsInput): string {
  const own = [input.domainname === "" ? "" : `${input.hostname}.${input.domainname}`, input.hostname]
    .filter((name) => name !== "")
    .join(" ");
  const lines = [
    ...LOOPBACK,
    ...extraLines(input.extraHosts, input.hostGateway),
    ...(input.hostNames.length > 0 ? [`${input.hostGateway}\t${input.hostNames.join(" ")}`] : []),
    ...input.links.map(({ address, names }) => `${address}\t${[...new Set(names)].join(" ")}`),
    ...input.addresses.map((address) => `${address}\t${own}`),
  ];
  return `${lines.join("\n")}\n`;
}

/** A container's hosts file after its addresses have changed: a line for each, with the names that its other addresses have; nobody else's lines are touched. */
export function changedHosts(text: string, change: { hostname: string; known: string[]; add: string[]; remove: string[] }): string {
  const lines = text.replace(/\n$/, "").split("\n");
  const own =
    lines.map((line) => line.split("\t")).find(([address = ""]) => [...change.known, ...change.remove].includes(address))?.[1] ??
    change.hostname;
  const gone = new Set(change.remove.map((address) => `${address}\t${own}`));
  const added = change.add.map((address) => `${address}\t${own}`).filter((line) => !lines.includes(line));
  return `${[...lines.filter((line) => !gone.has(line)), ...(own === "" ? [] : added)].join("\n")}\n`;
}

/** `/etc/hosts` of a container in the host's network: the host's own and the lines asked for. */
export function hostHostsFile(hostFile: string, extraHosts: string[]): string {
  const extra = extraLines(extraHosts, "127.0.0.1");
  if (extra.length === 0) return hostFile;
  return `${hostFile}${hostFile === "" || hostFile.endsWith("\n") ? "" : "\n"}${extra.join("\n")}\n`;
}

function extraLines(extraHosts: string[], hostGateway: string): string[] {
  return extraHosts.flatMap((entry) => {
    const [, name = "", given = ""] = /^([^:=]+)[:=](.*)$/.exec(entry) ?? [];
    const address = given === "host-gateway" ? hostGateway : given.replace(/^\[(.*)\]$/, "$1");
    return name === "" || address === "" ? [] : [`${address}\t${name}`];
  });
}

/** What a container's `/etc/resolv.conf` is made of. */
export interface ResolvInput {
  /** The host's file. */
  host: string;
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
  /** Whether the container has IPv6 addresses: else the host's IPv6 name servers are of no use to it. */
  ipv6: boolean;
  /** In the host's network loopback name servers can be reached. */
  hostNetwork: boolean;
  /** Our own resolver inside of the container, which asks all others. */
  resolver?: string | undefined;
}

/** Public resolvers for a host that has none but on its loopback, as Docker falls back to. */
const FALLBACK4 = ["8.8.8.8", "8.8.4.4"];
const FALLBACK6 = ["2001:4860:4860::8888", "2001:4860:4860::8844"];

/** `/etc/resolv.conf` of a container. */
export function resolvConfFile(input: ResolvInput): string {
  const asked = input.dns.length + input.dnsSearch.length + input.dnsOptions.length;
  if (input.hostNetwork && asked === 0) return input.host;
  const host = parseResolvConf(input.host);
  const search = input.dnsSearch.length > 0 ? input.dnsSearch.filter((domain) => domain !== ".") : host.search;
  const given = input.dnsOptions.length > 0 ? input.dnsOptions : host.options;
  // Names of containers have one label: with other settings for dots they would be asked for last.
  const options = input.resolver !== undefined && !given.some((option) => option.startsWith("ndots:")) ? [...given, "ndots:0"] : given;
  const servers = input.resolver !== undefined ? [input.resolver] : input.dns.length > 0 ? input.dns : usable(host.servers, input);
  const lines = [
    "# Written by Lighter for this container; changes made here last until it is started anew.",
    ...servers.map((server) => `nameserver ${server}`),
    ...(search.length > 0 ? [`search ${search.join(" ")}`] : []),
    ...(options.length > 0 ? [`options ${options.join(" ")}`] : []),
  ];
  return sealed(`${lines.join("\n")}\n`);
}

const SEAL = "# As written: ";

/** Text with a line at its end that tells whether somebody has changed it since. */
function sealed(text: string): string {
  return `${text}${SEAL}${digestOf(text)}\n`;
}

function digestOf(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 16);
}

/** Whether a resolv.conf of ours is still as it was written. */
export function isUntouched(text: string): boolean {
  const at = text.lastIndexOf(SEAL);
  return at >= 0 && text.slice(at) === `${SEAL}${digestOf(text.slice(0, at))}\n`;
}

/** A resolv.conf of ours with our own resolver in the place of its name servers. */
export function withResolver(text: string, resolver: string): string {
  const { search, options } = parseResolvConf(text);
  return resolvConfFile({ host: "", dns: [], dnsSearch: search, dnsOptions: options, ipv6: false, hostNetwork: false, resolver });
}

function usable(servers: string[], { ipv6, hostNetwork }: ResolvInput): string[] {
  if (hostNetwork) return servers;
  const reachable = servers.filter((server) => {
    const family = isIP(server.replace(/%.*$/, ""));
    if (family === 4) return !server.startsWith("127.");
    return family === 6 && ipv6 && server !== "::1" && !server.includes("%");
  });
  return reachable.length > 0 ? reachable : [...FALLBACK4, ...(ipv6 ? FALLBACK6 : [])];
}

/** The parts of a resolv.conf that matter (resolv.conf(5)); the last `search` or `domain` and the last `options` hold. */
export function parseResolvConf(text: string): { servers: string[]; search: string[]; options: string[] } {
  const found: { servers: string[]; search: string[]; options: string[] } = { servers: [], search: [], options: [] };
  for (const line of text.split("\n")) {
    const [word, ...rest] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    if (word === "nameserver" && rest[0] !== undefined) found.servers.push(rest[0]);
    else if (word === "search" || word === "domain") found.search = rest;
    else if (word === "options") found.options = rest;
  }
  return found;
}

/**
 * The host's resolv.conf: systemd-resolved's own list where the usual file names nothing but its stub on the loopback. Empty when there is none.
 */
export function hostResolvConf(): string {
  const usual = readSmall("/etc/resolv.conf");
  const { servers } = parseResolvConf(usual);
  if (servers.length !== 1 || servers[0] !== "127.0.0.53") return usual;
  const upstream = readSmall("/run/systemd/resolve/resolv.conf");
  return upstream === "" ? usual : upstream;
}

/** A resolv.conf with a daemon's own settings in the place of the host's. */
export function withNameDefaults(text: string, { dns, dnsSearch, dnsOptions }: NameDefaults): string {
  if (dns === undefined && dnsSearch === undefined && dnsOptions === undefined) return text;
  const host = parseResolvConf(text);
  const search = dnsSearch ?? host.search;
  const options = dnsOptions ?? host.options;
  return [
    ...(dns ?? host.servers).map((server) => `nameserver ${server}\n`),
    ...(search.length > 0 ? [`search ${search.join(" ")}\n`] : []),
    ...(options.length > 0 ? [`options ${options.join(" ")}\n`] : []),
  ].join("");
}

/** What a daemon's configuration says of names. */
export interface NameDefaults {
  dns?: string[];
  dnsSearch?: string[];
  dnsOptions?: string[];
}

/** The host's hosts file; empty when there is none. */
export function hostHosts(): string {
  return readSmall("/etc/hosts");
}

function readSmall(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
