import { isIP } from "node:net";
import { LighterError } from "../base/errors.ts";

/** An IP address: its family and its value as a number of 32 or 128 bits. */
export interface Address {
  family: 4 | 6;
  value: bigint;
}

/** A subnet: `base` has no bits set past `length`. */
export interface Subnet {
  family: 4 | 6;
  base: bigint;
  length: number;
}

/** Bits of an address of a family. */
export function width(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

/** Parses an address without prefix or zone; undefined for any other text. `::ffff:1.2.3.4` stays IPv6. */
export function parseAddress(text: string): Address | undefined {
  const family = isIP(text);
  if (family === 4) return { family: 4, value: text.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n) };
  if (family !== 6 || text.includes("%")) return undefined;
  return { family: 6, value: parse6(text) };
}

function parse6(text: string): bigint {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [, head = "", a = "0", b = "0", c = "0", d = "0"] = dotted;
    const hex = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);
    return parse6(`${head}${hex(a, b)}:${hex(c, d)}`);
  }
  const [head = "", tail] = text.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [...front, ...new Array<string>(8 - front.length - back.length).fill("0"), ...back];
  return groups.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
}

/** The usual spelling of an address (RFC 5952 for IPv6). */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 65535n).toString(16));
  const runs = [...groups.join(":").matchAll(/(?<=^|:)0(?::0)+(?=:|$)/g)];
  const longest = runs.reduce<RegExpMatchArray | undefined>(
    (best, run) => (best === undefined || run[0].length > best[0].length ? run : best),
    undefined,
  );
  const start = longest?.index;
  if (longest === undefined || start === undefined) return groups.join(":");
  const text = groups.join(":");
  const before = text.slice(0, start).replace(/:$/, "");
  const after = text.slice(start + longest[0].length).replace(/^:/, "");
  return `${before}::${after}`;
}

/** The address as it stands in packets: 4 or 16 bytes. */
export function addressBytes({ family, value }: Address): Uint8Array {
  return Buffer.from(value.toString(16).padStart(width(family) / 4, "0"), "hex");
}

/** The address in 4 or 16 bytes of a packet. */
export function addressOfBytes(bytes: Uint8Array): Address {
  return { family: bytes.length === 4 ? 4 : 6, value: BigInt(`0x${Buffer.from(bytes).toString("hex")}`) };
}

/** Parses `172.17.0.0/16`; bits past the prefix are dropped. Throws `invalid` for any other text. */
export function parseSubnet(text: string): Subnet {
  return parseInterface(text).subnet;
}

/** Parses `172.17.0.1/16`: the address and its subnet. Throws `invalid` for any other text. */
export function parseInterface(text: string): { address: Address; subnet: Subnet } {
  const [head = "", tail = ""] = text.split("/");
  const address = parseAddress(head);
  if (address === undefined || !/^\d{1,3}$/.test(tail) || Number(tail) > width(address.family))
    throw new LighterError("invalid", `invalid CIDR address: ${text}`);
  return { address, subnet: subnetOf(address, Number(tail)) };
}

/** The subnet of a prefix length that an address is in. */
export function subnetOf(address: Address, length: number): Subnet {
  const host = BigInt(width(address.family) - length);
  return { family: address.family, base: (address.value >> host) << host, length };
}

/** `172.17.0.0/16`. */
export function formatSubnet({ family, base, length }: Subnet): string {
  return `${formatAddress({ family, value: base })}/${length}`;
}

/** How many addresses a subnet has. */
export function sizeOf({ family, length }: Subnet): bigint {
  return 1n << BigInt(width(family) - length);
}

/** Whether two subnets share an address. */
export function overlaps(a: Subnet, b: Subnet): boolean {
  if (a.family !== b.family) return false;
  const shift = BigInt(width(a.family) - Math.min(a.length, b.length));
  return a.base >> shift === b.base >> shift;
}

/** Whether an address is inside a subnet. */
export function contains(subnet: Subnet, address: Address): boolean {
  return overlaps(subnet, { family: address.family, base: address.value, length: width(address.family) });
}

/** The MAC that goes with an IPv4 address: `02:42` and its four bytes, so that neighbours' tables stay right when an address is given out again. */
export function macOf(address: Address): string {
  const bytes = addressBytes(address);
  return formatMac(Uint8Array.of(2, 0x42, ...bytes.subarray(bytes.length - 4)));
}

/** `02:42:ac:11:00:02`. */
export function formatMac(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** The six bytes of a MAC with colons or dashes. Throws `invalid` with Docker's text for any other text. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}$/i.test(text))
    throw new LighterError("invalid", `invalid MAC address: ${text}`);
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}
