import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { LighterError } from "../base/errors.ts";
import { formatAddress, formatSubnet, parseAddress, parseSubnet, width } from "./addresses.ts";

/** Protocols that a rule may name. */
export const EGRESS_PROTOCOLS = ["tcp", "udp", "sctp", "icmp"] as const;

/** Through which ports a rule lets; no protocol and no ports mean everything. */
export interface EgressPorts {
  protocol?: (typeof EGRESS_PROTOCOLS)[number];
  /** First and last. */
  ports?: [number, number];
}

/** One thing that a container may reach: a subnet (CIDR form), or a name; a name that begins with `*.` means all below, `*` every name. */
export type EgressRule = EgressPorts & ({ subnet: string; name?: undefined } | { name: string; subnet?: undefined });

const FORM = "use a name, *.name, an address or a subnet, then [:PORT[-PORT]] and [/tcp|udp|sctp|icmp], e.g. example.org:443";
const EVERYWHERE = ["0.0.0.0/0", "::/0"];

/**
 * What a label or option allows: undefined for no limit (no word at all, `any`), an empty list for `none`. Throws `invalid` for what cannot be
 * understood: a container that was to be limited is never started without limits.
 */
export function parseEgress(text: string | undefined): EgressRule[] | undefined {
  const entries = (text ?? "any").split(/[\s,]+/).filter((entry) => entry !== "");
  const words = entries.filter((entry) => entry === "none" || entry === "any");
  if (words.length > 0 && entries.length > 1)
    throw new LighterError("invalid", `invalid egress rules "${text}": "${words[0]}" stands alone, without other entries`);
  if (entries[0] === "any") return undefined;
  return entries[0] === "none" ? [] : entries.flatMap(parseEntry);
}

function parseEntry(entry: string): EgressRule[] {
  const fail = (why: string): LighterError => new LighterError("invalid", `invalid egress rule "${entry}": ${why}; ${FORM}`);
  const [, before = "", word = ""] = /^(.*?)(?:\/([a-z]+))?$/i.exec(entry) ?? [];
  const protocol = EGRESS_PROTOCOLS.find((known) => known === word.toLowerCase());
  if (word !== "" && protocol === undefined) throw fail(`unknown protocol "${word}"`);
  const { target, ports } = splitPorts(before);
  const limits: EgressPorts = { ...(protocol && { protocol }), ...(ports === undefined ? {} : { ports: parsePorts(ports, fail) }) };
  if (limits.ports !== undefined && protocol === "icmp") throw fail("icmp has no ports");
  // A port without a protocol is that of both which have the web on them.
  const all: EgressPorts[] =
    ports !== undefined && protocol === undefined ? (["tcp", "udp"] as const).map((one) => ({ ...limits, protocol: one })) : [limits];
  const targets = targetsOf(target, fail);
  return targets.flatMap((one) => all.map((part) => ({ ...part, ...one })));
}

/** `[v6]:port`, `[v6]/64:port`, a bare IPv6 address or subnet, and all others, where ports follow the only colon. */
function splitPorts(text: string): { target: string; ports: string | undefined } {
  const bracketed = /^\[([^\]]*)\](\/\d+)?(?::(.*))?$/.exec(text);
  if (bracketed !== null) return { target: `${bracketed[1] ?? ""}${bracketed[2] ?? ""}`, ports: bracketed[3] };
  const at = text.indexOf(":");
  if (at < 0 || text.includes(":", at + 1)) return { target: text, ports: undefined };
  return { target: text.slice(0, at), ports: text.slice(at + 1) };
}

type Fail = (why: string) => LighterError;

function parsePorts(text: string, fail: Fail): [number, number] {
  const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const ports: [number, number] = [Number(first), Number(last)];
  if (first === "" || ports[0] < 1 || ports[1] > 65535 || ports[1] < ports[0]) throw fail(`invalid port "${text}"`);
  return ports;
}

function targetsOf(target: string, fail: Fail): ({ subnet: string } | { name: string })[] {
  if (target === "") return EVERYWHERE.map((subnet) => ({ subnet }));
  const [head = ""] = target.split("/");
  if (isIP(head) !== 0) {
    const address = parseAddress(head);
    if (address === undefined) throw fail("an address with a zone cannot be judged");
    try {
      return [{ subnet: formatSubnet(parseSubnet(target.includes("/") ? target : `${formatAddress(address)}/${width(address.family)}`)) }];
    } catch {
      throw fail("that is no subnet");
    }
  }
  if (target === "*") return [{ name: "*" }];
  const wild = target.startsWith("*.");
  const name = domainToASCII((wild ? target.slice(2) : target).replace(/\.$/, ""));
  const label = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
  if (name.length > 253 || !new RegExp(`^${label}(?:\\.${label})*$`).test(name) || /^[\d.]+$/.test(name))
    throw fail("that is no name and no address");
  return [{ name: wild ? `*.${name}` : name }];
}

/** Whether a rule's name means this one (in lower case, without a dot at its end). */
export function namesMatch(pattern: string, name: string): boolean {
  if (pattern === "*") return name !== "";
  return pattern.startsWith("*.") ? name.endsWith(pattern.slice(1)) && name.length >= pattern.length : pattern === name;
}

/** What tells rules of the same ports from others, and names their sets: `any`, `tcp`, `tcp_443`, `udp_8000_8100`. */
export function portsKey({ protocol, ports }: EgressPorts): string {
  const [first, last] = ports ?? [];
  const numbers = first === undefined ? [] : first === last ? [first] : [first, last];
  return [protocol ?? "any", ...numbers].join("_");
}
