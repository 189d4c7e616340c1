import { LighterError } from "../base/errors.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import { contains, formatSubnet, parseAddress, parseSubnet } from "./addresses.ts";
import { isLinkName } from "./bridge-options.ts";

/** Docker's options of one place in a network. */
const IFNAME = "com.docker.network.endpoint.ifname";
const SYSCTLS = "com.docker.network.endpoint.sysctls";

/** What stands for the interface in the name of a setting; docker's own client writes it in small letters. */
const PLACEHOLDER = "IFNAME";
const FAMILIES = ["ipv4", "ipv6", "mpls"];

/** A setting of an interface: `file` below /proc/sys with `IFNAME` in it. */
export interface InterfaceSetting {
  file: string;
  value: string;
}

/** The name that was asked for the interface inside; undefined where none was. Throws `invalid`. */
export function askedInterface(asked: EndpointSettings): string | undefined {
  const name = asked.DriverOpts?.[IFNAME];
  if (name === undefined || name === "") return undefined;
  if (name === "lo" || !isLinkName(name))
    throw new LighterError(
      "invalid",
      `invalid interface name "${name}" (${IFNAME}): at most 15 characters without space, "/" and ":", and not "lo"`,
    );
  return name;
}

/** The settings that were asked for the interface: `net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2`. Throws `invalid`. */
export function interfaceSettings(asked: EndpointSettings): InterfaceSetting[] {
  const text = asked.DriverOpts?.[SYSCTLS] ?? "";
  return text === "" ? [] : text.split(",").map(parseSetting);
}

function parseSetting(text: string): InterfaceSetting {
  const at = text.indexOf("=");
  const parts = text
    .slice(0, Math.max(at, 0))
    .split(".")
    .map((part) => (part === PLACEHOLDER.toLowerCase() ? PLACEHOLDER : part));
  const [root = "", family = "", ...rest] = parts;
  if (
    at < 1 ||
    root !== "net" ||
    !FAMILIES.includes(family) ||
    !rest.includes(PLACEHOLDER) ||
    rest.some((part) => !/^\w[\w-]*$/.test(part))
  )
    throw new LighterError(
      "invalid",
      `invalid endpoint sysctl "${text}" (${SYSCTLS}): it must look like net.ipv4.conf.${PLACEHOLDER}.log_martians=1, of ipv4, ipv6 or mpls`,
    );
  return { file: parts.join("/"), value: text.slice(at + 1) };
}

/** The path of a setting of an interface. */
export function settingPath({ file }: InterfaceSetting, name: string): string {
  return `/proc/sys/${file.replace(PLACEHOLDER, name)}`;
}

const LINK_LOCAL = [parseSubnet("169.254.0.0/16"), parseSubnet("fe80::/64")];

/** The link-local addresses that were asked for, in CIDR form. Throws `invalid` for one that is none. */
export function linkLocalAddresses(asked: EndpointSettings): string[] {
  return (asked.IPAMConfig?.LinkLocalIPs ?? []).map((text) => {
    const address = parseAddress(text);
    const subnet = LINK_LOCAL.find((one) => address !== undefined && contains(one, address));
    if (subnet === undefined)
      throw new LighterError(
        "invalid",
        `invalid link-local IP address: ${text}: it must be in ${LINK_LOCAL.map(formatSubnet).join(" or ")}`,
      );
    return `${text}/${subnet.length}`;
  });
}

/** Whether a place needs an interface of its own making, not one that was kept ready. */
export function isPlain(asked: EndpointSettings): boolean {
  return askedInterface(asked) === undefined && interfaceSettings(asked).length + linkLocalAddresses(asked).length === 0;
}

/** The interfaces' names of places in their order: those asked for, else the network's prefix with the next number. Throws `invalid` for a name twice. */
export function interfaceNames(places: readonly { asked: EndpointSettings; prefix: string }[], taken: readonly string[] = []): string[] {
  const used = new Set(taken);
  const given = places.map(({ asked }) => askedInterface(asked));
  for (const name of given) {
    if (name !== undefined && used.has(name))
      throw new LighterError(
        "invalid",
        `interface name "${name}" is in use in the container: give each of its networks another one (${IFNAME})`,
      );
    if (name !== undefined) used.add(name);
  }
  return places.map(({ prefix }, index) => {
    const name = given[index] ?? nextName(prefix, used);
    used.add(name);
    return name;
  });
}

function nextName(prefix: string, used: ReadonlySet<string>): string {
  for (let number = 0; ; number++) if (!used.has(`${prefix}${number}`)) return `${prefix}${number}`;
}
