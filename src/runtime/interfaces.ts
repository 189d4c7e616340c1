import type { InterfaceUsage } from "./usage.ts";

const NEWLINE = 0x0a;
const COLON = 0x3a;
const SPACE = 0x20;
const ZERO = 0x30;
const NINE = 0x39;
/** How the names of a container's own interfaces begin. */
const [E, T, H] = [0x65, 0x74, 0x68];
/** bytes packets errs drop fifo frame compressed multicast, then the same for what was sent. */
const FIELDS = 16;

const counters: number[] = Array.from({ length: FIELDS }, () => 0);

/** `/proc/<pid>/net/dev`: the interfaces that connect a container to its networks (`eth0`, `eth1` ...), not those of its own. Written for speed. */
export function interfaces(bytes: Uint8Array, length: number): Record<string, InterfaceUsage> {
  const found: Record<string, InterfaceUsage> = {};
  for (let at = 0; at < length;) {
    while (at < length && bytes[at] === SPACE) at++;
    if (bytes[at] === E && bytes[at + 1] === T && bytes[at + 2] === H) {
      const colon = bytes.indexOf(COLON, at);
      const digits = Buffer.from(bytes.subarray(at + 3, colon)).toString("latin1");
      if (colon > 0 && /^\d+$/.test(digits)) found[`eth${digits}`] = lineOf(bytes, colon + 1, length);
    }
    const end = bytes.indexOf(NEWLINE, at);
    at = end < 0 ? length : end + 1;
  }
  return found;
}

function lineOf(bytes: Uint8Array, from: number, length: number): InterfaceUsage {
  let at = from;
  for (let field = 0; field < FIELDS; field++) {
    while (at < length && bytes[at] === SPACE) at++;
    let value = 0;
    for (; at < length; at++) {
      const digit = bytes[at] ?? 0;
      if (digit < ZERO || digit > NINE) break;
      value = value * 10 + digit - ZERO;
    }
    counters[field] = value;
  }
  const of = (field: number): number => counters[field] ?? 0;
  return {
    rxBytes: of(0),
    rxPackets: of(1),
    rxErrors: of(2),
    rxDropped: of(3),
    txBytes: of(8),
    txPackets: of(9),
    txErrors: of(10),
    txDropped: of(11),
  };
}
