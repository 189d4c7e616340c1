import { isIP } from "node:net";
import { LighterError, messageOf } from "../base/errors.ts";
import { parseInterface, parseSubnet } from "../networks/addresses.ts";
import type { NetworkDefaults } from "../networks/networks.ts";
import { isObject, texts, wrongValue } from "./key-values.ts";

type Apply = (given: NetworkDefaults, value: unknown, key: string) => void;

/** Keys of a user's daemon.json about the default bridge and about names, which `lighter daemon` takes as flags, too. */
const APPLY: Record<string, Apply> = {
  dns: (given, value, key) => (given.dns = texts(key, value).map((address) => checkedAddress(key, address))),
  "dns-search": (given, value, key) => (given.dnsSearch = texts(key, value)),
  "dns-opts": (given, value, key) => (given.dnsOptions = texts(key, value)),
  mtu: (given, value, key) => (given.mtu = checkedMtu(key, value)),
  icc: (given, value, key) => (given.icc = flag(key, value)),
  "ip-masq": (given, value, key) => (given.masquerade = flag(key, value)),
  "ip-forward": (given, value, key) => (given.forward = flag(key, value)),
  ip: (given, value, key) => (given.hostAddress = checkedAddress(key, value, 4)),
  "fixed-cidr": (given, value, key) => (given.fixedCidr = checkedSubnet(key, value)),
  "default-network-opts": (given, value, key) => (given.networkOptions = optionsByDriver(key, value)),
  ipv6: (given, value, key) => (given.ipv6 = flag(key, value)),
  "fixed-cidr-v6": (given, value, key) => (given.fixedCidr6 = checkedSubnet(key, value, 6)),
  bip6: (given, value, key) => (given.bip6 = checkedInterface(key, value)),
  "default-gateway": (given, value, key) => (given.gateway4 = checkedAddress(key, value, 4)),
  "default-gateway-v6": (given, value, key) => (given.gateway6 = checkedAddress(key, value, 6)),
  "host-gateway-ip": (given, value, key) => (given.hostGateway = checkedAddress(key, value)),
  "host-gateway-ips": (given, value, key) => Object.assign(given, hostGateway(key, value)),
  // Rules are in a table of our own that meets nobody's, and without them nothing is published: there is nothing to leave out.
  iptables: (_given, value, key) => mustBeOn(key, value),
  // One process for all ports carries what no rule can, and is there only when it is needed.
  "userland-proxy": (_given, value, key) => void flag(key, value),
};

/** The keys, in the order of Docker's documentation. */
export const NETWORK_KEYS: readonly string[] = Object.keys(APPLY);

/** Whether a key of daemon.json is about networks in general. */
export function isNetworkKey(key: string): boolean {
  return Object.hasOwn(APPLY, key);
}

/** Applies one key. Throws `invalid` naming the key, `unsupported` where it asks for what is not to be had. */
export function applyNetworkKey(given: NetworkDefaults, key: string, value: unknown): void {
  APPLY[key]?.(given, value, key);
}

function flag(key: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw wrongValue(key, "true or false");
  return value;
}

function mustBeOn(key: string, value: unknown): void {
  if (!flag(key, value))
    throw new LighterError(
      "unsupported",
      `Cannot use "${key}": false: networks of the bridge driver are made of rules, in a table of their own; give containers "--network host" or "none" instead`,
    );
}

function checkedAddress(key: string, value: unknown, family?: 4 | 6): string {
  const found = typeof value === "string" ? isIP(value) : 0;
  if (found === 0 || (family !== undefined && found !== family))
    throw wrongValue(key, family === undefined ? "IP addresses" : `an IPv${family} address`);
  return value as string;
}

function checkedMtu(key: string, value: unknown): number {
  // 0 is Docker's word for: find it.
  if (typeof value !== "number" || !Number.isInteger(value) || (value !== 0 && (value < 68 || value > 65_535)))
    throw wrongValue(key, "0 or a number of bytes from 68 to 65535");
  return value;
}

function checkedSubnet(key: string, value: unknown, family: 4 | 6 = 4): string {
  try {
    if (typeof value === "string" && parseSubnet(value).family === family) return value;
  } catch (cause) {
    throw new LighterError("invalid", `Cannot use "${key}": ${messageOf(cause)}`, { cause });
  }
  throw wrongValue(key, family === 4 ? 'an IPv4 subnet like "172.17.1.0/24"' : 'an IPv6 subnet like "fd00:17::/64"');
}

function checkedInterface(key: string, value: unknown): string {
  try {
    if (typeof value === "string" && parseInterface(value).subnet.family === 6) return value;
  } catch (cause) {
    throw new LighterError("invalid", `Cannot use "${key}": ${messageOf(cause)}`, { cause });
  }
  throw wrongValue(key, 'an IPv6 address in its subnet like "fd00:17::1/64"');
}

/** One of each family at most, of which IPv4 goes first; none is the default. */
function hostGateway(key: string, value: unknown): Pick<NetworkDefaults, "hostGateway"> {
  const addresses = texts(key, value).map((address) => checkedAddress(key, address));
  const first = addresses.find((address) => isIP(address) === 4) ?? addresses[0];
  return first === undefined ? {} : { hostGateway: first };
}

function optionsByDriver(key: string, value: unknown): Record<string, Record<string, string>> {
  const wanted = 'an object like {"bridge": {"com.docker.network.driver.mtu": "1450"}}';
  if (!isObject(value)) throw wrongValue(key, wanted);
  for (const options of Object.values(value))
    if (!isObject(options) || !Object.values(options).every((item) => typeof item === "string")) throw wrongValue(key, wanted);
  return value as Record<string, Record<string, string>>;
}
