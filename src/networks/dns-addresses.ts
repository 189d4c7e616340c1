import { addressOfBytes, formatAddress } from "./addresses.ts";
import { TYPE } from "./dns-message.ts";

const HEADER = 12;
const CNAME = 5;
const IN = 1;
/** Pointers that one name may follow: a name has at most 127 labels. */
const MOST_POINTERS = 127;

/** A record of an answer, as far as addresses need it. */
interface AnswerRecord {
  owner: string;
  type: number;
  ttl: number;
  data: Uint8Array;
  /** Where the data stand in the message. */
  at: number;
}

/**
 * The addresses that an answer gives to a name, by way of the other names that it says the name stands for (CNAME), and for how long at least (seconds).
 * Records of names that nobody asked for do not count. Undefined for what is not well-formed.
 */
export function addressesOf(message: Uint8Array, name: string): { address: string; ttl: number }[] | undefined {
  const records = answersOf(message);
  if (records === undefined) return undefined;
  const names = new Set([name]);
  let shortest = Number.MAX_SAFE_INTEGER;
  // In whatever order they stand: as often as there are records at most.
  for (let before = 0; before !== names.size;) {
    before = names.size;
    for (const { owner, type, data, at, ttl } of records) {
      if (type !== CNAME || !names.has(owner)) continue;
      const target = readName(message, at);
      if (target === undefined || target.end > at + data.length) return undefined;
      names.add(target.name);
      shortest = Math.min(shortest, ttl);
    }
  }
  return records
    .filter(
      ({ owner, type, data }) => names.has(owner) && ((type === TYPE.a && data.length === 4) || (type === TYPE.aaaa && data.length === 16)),
    )
    .map(({ data, ttl }) => ({ address: formatAddress(addressOfBytes(data)), ttl: Math.min(ttl, shortest) }));
}

/** The records of the answer section. */
function answersOf(message: Uint8Array): AnswerRecord[] | undefined {
  if (message.length < HEADER) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = HEADER;
  for (let left = view.getUint16(4); left > 0; left--) {
    const question = readName(message, at);
    if (question === undefined) return undefined;
    at = question.end + 4;
  }
  const records: AnswerRecord[] = [];
  for (let left = view.getUint16(6); left > 0; left--) {
    const owner = readName(message, at);
    if (owner === undefined || owner.end + 10 > message.length) return undefined;
    const place = owner.end + 10;
    const end = place + view.getUint16(owner.end + 8);
    if (end > message.length) return undefined;
    const record = { owner: owner.name, type: view.getUint16(owner.end), ttl: view.getUint32(owner.end + 4), at: place };
    if (view.getUint16(owner.end + 2) === IN) records.push({ ...record, data: message.subarray(place, end) });
    at = end;
  }
  return records;
}

/** A name in a message, in lower case, with its pointers followed (RFC 1035, 4.1.4): each leads back to before the last. */
export function readName(message: Uint8Array, from: number): { name: string; end: number } | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  let at = from;
  for (let pointers = 0, length = 0; ;) {
    const size = message[at];
    if (size === undefined) return undefined;
    if (size >= 0xc0) {
      const target = (size & 0x3f) * 256 + (message[at + 1] ?? 0xff);
      if (at + 2 > message.length || target >= at || ++pointers > MOST_POINTERS) return undefined;
      end ??= at + 2;
      at = target;
      continue;
    }
    if (size > 63 || at + 1 + size > message.length) return undefined;
    if (size === 0) return { name: labels.join("."), end: end ?? at + 1 };
    length += size + 1;
    if (length > 254) return undefined;
    labels.push(
      Buffer.from(message.subarray(at + 1, at + 1 + size))
        .toString("latin1")
        .toLowerCase(),
    );
    at += size + 1;
  }
}
