import { attributes, beNumberOf, textOf } from "../linux/netlink.ts";
import type { RawElement, RawExpression } from "../linux/nft-read.ts";
import { formatAddress } from "./addresses.ts";
import { type HostSet, elementsOf } from "./host-snapshot.ts";

/** A new connection from outside to a published port, of which the sender is not known. */
export interface Knock {
  family: 4 | 6;
  protocol: number;
  port: number;
  /** The address that it is sent to, where the port is published on one alone. */
  address: Uint8Array | undefined;
}

/** What a register holds: bytes, or something that depends on the packet, by name. */
type Value = Uint8Array | { about: string; bits?: Uint8Array };

/** Registers while a rule is asked, and on what it has depended so far. */
export interface Asking {
  knock: Knock;
  sets: ReadonlyMap<string, HostSet>;
  registers: Map<number, Value>;
  conditions: string[];
}

/** Whether an expression goes on; `maybe` adds to the conditions. */
export type Match = "yes" | "no" | "maybe";

const NEW = Uint8Array.of(8, 0, 0, 0);
const LOCAL = Uint8Array.of(2, 0, 0, 0);
const UNICAST = Uint8Array.of(1, 0, 0, 0);
const NOTHING = new Uint8Array(4);
const BY_LINK = "by the link";
const INTERVAL = 4;
const INTERVAL_END = 1;
const CATCHALL = 2;
const RATES = new Set(["limit", "connlimit", "quota", "dynset"]);

/** Asks one expression about a knock. */
export function ask({ name, data }: RawExpression, asking: Asking): Match {
  const found = attributes(data);
  const { registers } = asking;
  const known = registers.get(wordOf(beNumberOf(found.get(1))));
  if (name === "meta" || name === "payload" || name === "ct" || name === "fib") {
    if (found.has(1)) registers.set(wordOf(beNumberOf(found.get(1))), loaded(name, found, asking.knock));
    return "yes";
  }
  if (name === "immediate") {
    const value = attributes(found.get(2) ?? NOTHING).get(1);
    if (value !== undefined) registers.set(wordOf(beNumberOf(found.get(1))), value);
    return "yes";
  }
  if (name === "bitwise" || name === "byteorder") return worked(name, found, asking);
  if (name === "cmp") return compared(known, beNumberOf(found.get(2)), attributes(found.get(3) ?? NOTHING).get(1) ?? NOTHING, asking);
  if (name === "range") return inRange(known, found, asking);
  if (name === "lookup") return looked(found, asking).match;
  if (RATES.has(name)) return depends(asking, "at a limited rate");
  if (name === "match") return old(textOf(found.get(1)), beNumberOf(found.get(2)), found.get(3) ?? NOTHING, asking);
  if (["counter", "log", "notrack", "target", "objref", "last", "dup", "reject", "queue"].includes(name)) return "yes";
  return depends(asking, `where "${name}" holds`);
}

function depends(asking: Asking, condition: string): Match {
  if (!asking.conditions.includes(condition)) asking.conditions.push(condition);
  return "maybe";
}

/** Registers of 16 bytes (1 to 4) and of 4 (from 8 on) by the number of their first 4 bytes. */
function wordOf(register: number): number {
  return register >= 8 ? register - 8 : (register - 1) * 4;
}

function loaded(name: string, found: Map<number, Uint8Array>, { family, protocol, port, address }: Knock): Value {
  const key = beNumberOf(found.get(2));
  if (name === "ct") return { 0: NEW, 1: Uint8Array.of(0), 2: NOTHING }[key] ?? { about: "by its connection" };
  if (name === "fib") return fib(key, beNumberOf(found.get(3)));
  if (name === "meta") {
    if (key === 1) return family === 4 ? Uint8Array.of(8, 0) : Uint8Array.of(0x86, 0xdd);
    if (key === 15) return Uint8Array.of(family === 4 ? 2 : 10);
    if (key === 16) return Uint8Array.of(protocol);
    if (key === 19) return Uint8Array.of(0);
    return { about: key === 4 || key === 6 ? BY_LINK : "by the packet's marks" };
  }
  return payload(key, beNumberOf(found.get(3)), beNumberOf(found.get(4)), { family, protocol, port, address });
}

/** Results are of the packet's destination, which is here, or of its source, which is taken for one with a way back. */
function fib(result: number, flags: number): Value {
  if (result !== 3) return UNICAST;
  return (flags & 2) !== 0 ? LOCAL : UNICAST;
}

function payload(base: number, offset: number, length: number, { family, protocol, port, address }: Knock): Value {
  const ports = Uint8Array.of(port >> 8, port & 255);
  if (base === 2 && offset === 2 && length === 2) return ports;
  if (base === 2 && offset === 13 && length === 1 && protocol === 6) return Uint8Array.of(2);
  if (base === 2) return { about: offset === 0 ? "from the port" : "by what the packet holds" };
  if (base !== 1) return { about: "by what the packet holds" };
  const [next, from, to, size] = family === 4 ? [9, 12, 16, 4] : [6, 8, 24, 16];
  if (offset === next && length === 1) return Uint8Array.of(protocol);
  if (offset >= to && offset < to + size) return address?.subarray(offset - to, offset - to + length) ?? { about: "to" };
  return { about: offset >= from && offset < from + size ? "from" : "by what the packet holds" };
}

function worked(name: string, found: Map<number, Uint8Array>, { registers }: Asking): Match {
  const value = registers.get(wordOf(beNumberOf(found.get(1)))) ?? NOTHING;
  const to = wordOf(beNumberOf(found.get(2)));
  const bits = attributes(found.get(4) ?? NOTHING).get(1);
  const flip = attributes(found.get(5) ?? NOTHING).get(1);
  if (!(value instanceof Uint8Array)) registers.set(to, { ...value, ...(bits && { bits }) });
  else if (name === "byteorder") registers.set(to, value.toReversed());
  else
    registers.set(
      to,
      bits === undefined ? { about: "by what the packet holds" } : value.map((byte, at) => (byte & (bits[at] ?? 0)) ^ (flip?.[at] ?? 0)),
    );
  return "yes";
}

function compared(known: Value | undefined, operation: number, wanted: Uint8Array, asking: Asking): Match {
  // What comes from outside does not come by the loopback device, whose index is always 1.
  const isLink = known !== undefined && "about" in known && known.about === BY_LINK;
  if (isLink && ["lo", "\u0001"].includes(textOf(wanted))) return operation === 1 ? "yes" : "no";
  if (known === undefined || !(known instanceof Uint8Array))
    return depends(asking, condition(known, operation, wanted, asking.knock.family));
  const order = Buffer.compare(known.subarray(0, wanted.length), wanted.subarray(0, known.length));
  return [order === 0, order !== 0, order < 0, order <= 0, order > 0, order >= 0][operation] === true ? "yes" : "no";
}

/** `from 10.0.0.0/8`, `by the link "eth0"`, with `not` before it where all others are meant. */
function condition(value: { about: string; bits?: Uint8Array } | undefined, operation: number, wanted: Uint8Array, family: 4 | 6): string {
  const about = value?.about ?? "by what the packet holds";
  const not = operation === 1 ? "not " : "";
  if (about === BY_LINK) {
    const name = textOf(wanted);
    return /^[\x21-\x7e]+$/.test(name) ? `${not}${about} "${name}${wanted.includes(0) ? "" : "*"}"` : `${not}${about}`;
  }
  if (about === "from the port") return `${not}${about} ${beNumberOf(wanted)}`;
  if (about !== "from" && about !== "to") return `${not}${about}`;
  return `${not}${about} ${subnetText(wanted, value?.bits, family)}`;
}

function subnetText(wanted: Uint8Array, bits: Uint8Array | undefined, family: 4 | 6): string {
  const size = family === 4 ? 4 : 16;
  const whole = new Uint8Array(size);
  whole.set(wanted.subarray(0, size));
  const value = BigInt(`0x${Buffer.from(whole).toString("hex")}`);
  const length =
    bits === undefined ? wanted.length * 8 : [...bits].reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
  return `${formatAddress({ family, value })}${length === size * 8 ? "" : `/${length}`}`;
}

function inRange(known: Value | undefined, found: Map<number, Uint8Array>, asking: Asking): Match {
  const [from, to] = [3, 4].map((type) => attributes(found.get(type) ?? NOTHING).get(1) ?? NOTHING);
  const inverted = beNumberOf(found.get(2)) === 1;
  if (known === undefined || !(known instanceof Uint8Array)) {
    const { family } = asking.knock;
    const about = known?.about ?? "";
    const span =
      about === "from" ? ` ${subnetText(from ?? NOTHING, undefined, family)} to ${subnetText(to ?? NOTHING, undefined, family)}` : "";
    return depends(asking, `${inverted ? "not " : ""}${about}${span}`);
  }
  const inside = Buffer.compare(known, from ?? NOTHING) >= 0 && Buffer.compare(known, to ?? NOTHING) <= 0;
  return inside !== inverted ? "yes" : "no";
}

/** Looks a key up; `elements` are those that may be meant. */
export function looked(found: Map<number, Uint8Array>, asking: Asking): { match: Match; elements: RawElement[] } {
  const name = textOf(found.get(1));
  const set = asking.sets.get(name);
  const isMap = found.has(3);
  const inverted = (beNumberOf(found.get(5)) & 1) === 1;
  const size = beNumberOf(set?.attributes.find(([type]) => type === 5)?.[1]);
  const key = keyAt(wordOf(beNumberOf(found.get(2))), size, asking.registers);
  if (set === undefined || typeof key === "string") {
    const plain = name.startsWith("__") ? "one of several values" : `set "${name}"`;
    const what = typeof key === "string" ? `${key} ` : "";
    return {
      match: depends(asking, `${inverted ? "not " : ""}${what}${plain}`),
      elements: isMap && set !== undefined ? elementsOf(set) : [],
    };
  }
  const hit = elementOf(elementsOf(set), key, (set.flags & INTERVAL) !== 0);
  const matched = (hit !== undefined) !== inverted;
  return { match: matched ? "yes" : "no", elements: hit === undefined ? [] : [hit] };
}

/** The bytes of a key in registers from a word on, or what it depends on. */
function keyAt(first: number, size: number, registers: ReadonlyMap<number, Value>): Uint8Array | string {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < size;) {
    const value = registers.get(first + at / 4);
    if (value === undefined || !(value instanceof Uint8Array)) return value?.about ?? "by what the packet holds";
    const padded = new Uint8Array(at === 0 && value.length >= size ? value.length : (value.length + 3) & ~3);
    padded.set(value);
    parts.push(padded);
    at += Math.max(4, padded.length);
  }
  return Buffer.concat(parts).subarray(0, Math.max(size, 0));
}

function elementOf(elements: readonly RawElement[], key: Uint8Array, ranges: boolean): RawElement | undefined {
  const keyOf = (element: RawElement, type: number): Uint8Array | undefined => {
    const value = element.get(type);
    return value === undefined ? undefined : attributes(value).get(1);
  };
  const flags = (element: RawElement): number => beNumberOf(element.get(3));
  const all = elements.find((element) => (flags(element) & CATCHALL) !== 0);
  const plain = elements.filter((element) => element !== all);
  if (!ranges) return plain.find((element) => Buffer.compare(keyOf(element, 1) ?? NOTHING, key) === 0) ?? all;
  if (plain.some((element) => element.has(10))) return plain.find((element) => isInside(key, keyOf(element, 1), keyOf(element, 10))) ?? all;
  let last: RawElement | undefined;
  let from: Uint8Array = NOTHING;
  for (const element of plain) {
    const start = keyOf(element, 1) ?? NOTHING;
    if (Buffer.compare(start, key) > 0) continue;
    const order = last === undefined ? 1 : Buffer.compare(start, from) || flags(last) - flags(element);
    if (order < 0) continue;
    last = element;
    from = start;
  }
  return last === undefined || (flags(last) & INTERVAL_END) !== 0 ? all : last;
}

function isInside(key: Uint8Array, from: Uint8Array | undefined, to: Uint8Array | undefined): boolean {
  if (from === undefined) return false;
  // Fields are padded to four bytes with zeroes: what holds for all words holds for all fields.
  for (let at = 0; at < key.length; at += 4) {
    const [word, low, high] = [key, from, to ?? from].map((bytes) => bytes.subarray(at, at + 4));
    if (Buffer.compare(word ?? NOTHING, low ?? NOTHING) < 0 || Buffer.compare(word ?? NOTHING, high ?? NOTHING) > 0) return false;
  }
  return true;
}

/** Matches of iptables that firewalls are made of (linux/netfilter/xt_*.h); others may hold or not. */
function old(name: string, revision: number, info: Uint8Array, asking: Asking): Match {
  const view = new DataView(info.buffer, info.byteOffset, info.byteLength);
  const said = (yes: boolean): Match => (yes ? "yes" : "no");
  if (name === "comment") return "yes";
  if (name === "conntrack" && revision >= 2 && info.length >= 154 && view.getUint16(146, true) === 1) {
    return said(((view.getUint16(150, true) & 8) !== 0) !== ((view.getUint16(148, true) & 1) !== 0));
  }
  if (name === "state") return said((view.getUint32(0, true) & 8) !== 0);
  if (name === "addrtype" && revision === 1 && view.getUint16(0, true) === 0) {
    return said(((view.getUint16(2, true) & 4) !== 0) !== ((view.getUint32(4, true) & 2) !== 0));
  }
  if (name === "multiport" && revision === 1 && info[0] === 1) return said(holdsPort(view, asking.knock.port) !== (info[47] === 1));
  if (name.endsWith("limit") || name === "recent") return depends(asking, "at a limited rate");
  return depends(asking, `where "${name}" holds`);
}

function holdsPort(view: DataView, port: number): boolean {
  const count = view.getUint8(1);
  for (let at = 0; at < count; at++) {
    const first = view.getUint16(2 + 2 * at, true);
    const isRange = view.getUint8(32 + at) === 1;
    const last = isRange ? view.getUint16(2 + 2 * ++at, true) : first;
    if (port >= first && port <= last) return true;
  }
  return false;
}
