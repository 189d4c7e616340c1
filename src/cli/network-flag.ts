import { LighterError } from "../base/errors.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import { csvFields } from "./csv.ts";
import { splitOnce } from "./ports.ts";

/** One `--network` of a command line. */
export interface NetworkAttachment {
  name: string;
  aliases: string[];
  links: string[];
  linkLocalIps: string[];
  driverOpts: Record<string, string>;
  ip: string;
  ip6: string;
  mac: string;
  gatewayPriority: number;
}

/** A connection to a network with nothing said about it. */
export function attachmentTo(name: string): NetworkAttachment {
  return { name, aliases: [], links: [], linkLocalIps: [], driverOpts: {}, ip: "", ip6: "", mac: "", gatewayPriority: 0 };
}

/** Parses `--network NAME` and `--network name=NAME,alias=a,ip=...`. Throws `invalid` with docker's texts. */
export function parseNetwork(text: string): NetworkAttachment {
  if (!/^\s*[\w-]+\s*=/.test(text)) return attachmentTo(text);
  const attachment = attachmentTo("");
  for (const field of csvFields(text)) {
    const [rawKey, given] = splitOnce(field);
    const key = rawKey.trim().toLowerCase();
    if (given === undefined) throw new LighterError("invalid", `invalid field ${key}`);
    const value = given.trim();
    if (key === "name") attachment.name = value;
    else if (key === "alias") attachment.aliases.push(value);
    else if (key === "ip") attachment.ip = value;
    else if (key === "ip6") attachment.ip6 = value;
    else if (key === "mac-address") attachment.mac = value;
    else if (key === "link-local-ip") attachment.linkLocalIps.push(value);
    else if (key === "gw-priority") attachment.gatewayPriority = priority(value);
    else if (key === "driver-opt") {
      const [name, set] = splitOnce(value);
      if (set === undefined) throw new LighterError("invalid", `invalid key value pair format in driver options`);
      attachment.driverOpts[name.toLowerCase()] = set.toLowerCase();
    } else throw new LighterError("invalid", `invalid field key ${key}`);
  }
  if (attachment.name === "") throw new LighterError("invalid", "network name/id is not specified");
  return attachment;
}

function priority(text: string): number {
  if (!/^-?\d+$/.test(text)) throw new LighterError("invalid", `invalid gw-priority (${text}): invalid syntax`);
  return Number(text);
}

/** What the API wants to know of a connection; undefined when nothing but its name was said. */
export function endpointOf(attachment: NetworkAttachment): EndpointSettings {
  const settings: EndpointSettings = {};
  const { ip, ip6, linkLocalIps, aliases, links, driverOpts, mac, gatewayPriority } = attachment;
  if (ip !== "" || ip6 !== "" || linkLocalIps.length > 0) {
    settings.IPAMConfig = {
      ...(ip !== "" && { IPv4Address: ip }),
      ...(ip6 !== "" && { IPv6Address: ip6 }),
      ...(linkLocalIps.length > 0 && { LinkLocalIPs: linkLocalIps }),
    };
  }
  if (aliases.length > 0) settings.Aliases = aliases;
  if (links.length > 0) settings.Links = links;
  if (Object.keys(driverOpts).length > 0) settings.DriverOpts = driverOpts;
  if (mac !== "") settings.MacAddress = mac;
  if (gatewayPriority !== 0) settings.GwPriority = gatewayPriority;
  return settings;
}

/** Whether a network mode means a network that a user made, where names, aliases and addresses are possible. */
export function isUserDefined(mode: string): boolean {
  return !["default", "bridge", "host", "none"].includes(mode) && !mode.startsWith("container:");
}

/** Whether a network mode gives the container an endpoint of its own. */
export function hasEndpoint(mode: string): boolean {
  return mode !== "host" && mode !== "none" && !mode.startsWith("container:");
}
