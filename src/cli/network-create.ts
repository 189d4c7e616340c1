import { LighterError } from "../base/errors.ts";
import { createNetwork } from "../client/networks.ts";
import type { IpamConfig, NetworkCreateData } from "../wire/engine-api.ts";
import { command } from "./command.ts";
import { egressLabel } from "./egress-flags.ts";
import { CONTAINER_FLAGS } from "./container-flags.ts";
import { bool, keyValue, list, map, string, strings, type Values } from "./flags.ts";

const flags = {
  attachable: bool("Let containers connect themselves"),
  "aux-address": map("Address that the driver keeps free"),
  "config-from": string("Network to copy the configuration from"),
  "config-only": bool("Make a configuration, not a network"),
  driver: string("Driver of the network", { short: "d", initial: "bridge", shown: '"bridge"' }),
  egress: list("Let its containers reach nothing (none), everything (any), or what is listed"),
  "egress-allow": CONTAINER_FLAGS["egress-allow"],
  gateway: list("Gateway of a subnet", undefined, "ipSlice"),
  ingress: bool("Make the routing mesh of a swarm"),
  internal: bool("Cut the network off from the outside"),
  "ip-range": list("Give out addresses of this range only", undefined, "ipNetSlice"),
  "ipam-driver": string("Driver of address management", { initial: "default", shown: '"default"' }),
  "ipam-opt": map("Option of address management", { shown: "map[]" }),
  ipv4: bool("Give out IPv4 addresses", { initial: true, shown: "true" }),
  ipv6: bool("Give out IPv6 addresses"),
  label: list("Set a label"),
  opt: map("Option of the driver", { short: "o", shown: "map[]" }),
  scope: string("Scope of the network"),
  subnet: strings("Subnet in CIDR form"),
};

/** `network create`: makes a network. */
export const networkCreate = command({
  usage: "[OPTIONS] NETWORK",
  args: 1,
  flags,
  async run({ flags, given, args, app }) {
    const body: NetworkCreateData["body"] = { Name: args[0] ?? "", Driver: flags.driver };
    if (flags["config-from"] !== "") body.ConfigFrom = { Network: flags["config-from"] };
    if (flags.scope !== "") body.Scope = flags.scope;
    if (flags.internal) body.Internal = true;
    if (flags.attachable) body.Attachable = true;
    if (flags.ingress) body.Ingress = true;
    if (flags["config-only"]) body.ConfigOnly = true;
    if (given("ipv4")) body.EnableIPv4 = flags.ipv4;
    if (given("ipv6")) body.EnableIPv6 = flags.ipv6;
    const Config = subnets(flags);
    if (Config.length > 0 || given("ipam-driver") || given("ipam-opt")) {
      body.IPAM = { Driver: flags["ipam-driver"], Options: flags["ipam-opt"], Config };
    }
    if (Object.keys(flags.opt).length > 0) body.Options = flags.opt;
    const labels = Object.assign({}, ...flags.label.map(keyValue), egressLabel(flags)) as Record<string, string>;
    if (Object.keys(labels).length > 0) body.Labels = labels;
    const { Id, Warning } = await createNetwork(await app.connection(), body);
    if (Warning) app.err(`WARNING: ${Warning}\n`);
    app.out(`${Id}\n`);
  },
});

type Addressing = Pick<Values<typeof flags>, "subnet" | "ip-range" | "gateway" | "aux-address">;

/** Ranges, gateways and kept addresses belong to the subnet that holds them. Throws `invalid` with docker's texts. */
export function subnets(given: Addressing): IpamConfig[] {
  const gateways = given.gateway.flatMap((one) => one.split(","));
  const ranges = given["ip-range"].flatMap((one) => one.split(","));
  if (given.subnet.length < ranges.length || given.subnet.length < gateways.length) {
    throw new LighterError("invalid", "every ip-range or gateway must have a corresponding subnet");
  }
  const configs: IpamConfig[] = given.subnet.map((Subnet) => ({ Subnet }));
  const owner = (address: string, what: string): IpamConfig => {
    const found = configs.find(({ Subnet = "" }) => contains(Subnet, address));
    if (!found) throw new LighterError("invalid", `no matching subnet for ${what} ${address}`);
    return found;
  };
  for (const range of ranges) {
    const config = owner(range.split("/")[0] ?? "", "range");
    if (config.IPRange !== undefined) throw new LighterError("invalid", "cannot configure multiple ranges on the same subnet");
    config.IPRange = range;
  }
  for (const gateway of gateways) {
    const config = owner(gateway, "gateway");
    if (config.Gateway !== undefined) throw new LighterError("invalid", "cannot configure multiple gateways for the same subnet");
    config.Gateway = gateway;
  }
  for (const [name, address] of Object.entries(given["aux-address"])) {
    const config = owner(address, "aux-address");
    config.AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address };
  }
  return configs;
}

function contains(subnet: string, address: string): boolean {
  const [base = "", bits = ""] = subnet.split("/");
  const [a, b] = [toNumber(base), toNumber(address)];
  if (!a || !b || a.width !== b.width) return false;
  const shift = BigInt(a.width - Number(bits));
  return a.value >> shift === b.value >> shift;
}

function toNumber(ip: string): { value: bigint; width: 32 | 128 } | undefined {
  if (/^\d+(\.\d+){3}$/.test(ip)) return { value: ip.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n), width: 32 };
  if (!/^[0-9a-f:]+$/i.test(ip)) return undefined;
  const [head = "", tail] = ip.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const last = groups(tail ?? "");
  const first = groups(head);
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - first.length - last.length }, () => "0");
  return { value: [...first, ...zeros, ...last].reduce((sum, part) => (sum << 16n) | BigInt(`0x${part}`), 0n), width: 128 };
}
