/** Answers of name servers that are kept at once. */
const ENTRIES = 4096;
/** Answers to longer questions are not kept, bytes. */
const LONGEST_QUERY = 512;
/** Longer answers are not kept, bytes. */
const LONGEST = 4096;
/** An answer is asked for again after this long even if its server says that it holds longer, in seconds. */
const LONGEST_TTL = 300;
const HEADER = 12;
/** EDNS's pseudo-record (RFC 6891), whose TTL field holds flags. */
const OPT = 41;
const OK = 0;
const UNKNOWN_NAME = 3;

interface Kept {
  answer: Uint8Array;
  /** Milliseconds. */
  since: number;
  until: number;
  /** Where the TTLs of its records stand. */
  ttls: number[];
}

/** Answers of name servers, kept for as long as their records hold (RFC 1035, 3.2.1), for all containers that ask the same servers. */
export class DnsCache {
  readonly #kept = new Map<string, Kept>();
  readonly #clock: () => number;

  /** @param clock milliseconds */
  constructor(clock: () => number = Date.now) {
    this.#clock = clock;
  }

  /** The answer to a query from these servers: kept, with its TTLs counted down, or else asked for. */
  async answer(
    query: Uint8Array,
    servers: readonly string[],
    forward: (query: Uint8Array, servers: readonly string[]) => Promise<Uint8Array | undefined>,
  ): Promise<Uint8Array | undefined> {
    // All but the query's number: its flags and options matter, and so do the letters' cases, which some clients want back.
    const key = `${servers.join(",")} ${Buffer.from(query.subarray(2)).toString("latin1")}`;
    if (query.length > LONGEST_QUERY) return await forward(query, servers);
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > this.#clock()) return renewed(kept, query, this.#clock());
    const answer = await forward(query, servers);
    if (answer !== undefined) this.#keep(key, answer);
    return answer;
  }

  #keep(key: string, answer: Uint8Array): void {
    this.#kept.delete(key);
    const ttls = placesOfTtls(answer);
    if (ttls === undefined || ttls.length === 0 || answer.length > LONGEST) return;
    const view = viewOf(answer);
    const holds = Math.min(LONGEST_TTL, ...ttls.map((place) => view.getUint32(place)));
    if (holds <= 0) return;
    const since = this.#clock();
    this.#kept.set(key, { answer, since, until: since + holds * 1000, ttls });
    // The one that was kept first goes first.
    const oldest = this.#kept.size > ENTRIES ? this.#kept.keys().next().value : undefined;
    if (oldest !== undefined) this.#kept.delete(oldest);
  }
}

function renewed({ answer, since, ttls }: Kept, query: Uint8Array, time: number): Uint8Array {
  const copy = answer.slice();
  copy.set(query.subarray(0, 2));
  const view = viewOf(copy);
  for (const place of ttls) view.setUint32(place, view.getUint32(place) - Math.floor((time - since) / 1000));
  return copy;
}

/**
 * Where the TTLs of an answer's records stand (RFC 1035, 4.1.3); undefined for what is not to be kept: cut answers, failures, and what is not well-formed.
 * "No such name" is kept by the record that says whose word that is (RFC 2308).
 */
function placesOfTtls(answer: Uint8Array): number[] | undefined {
  if (answer.length < HEADER) return undefined;
  const view = viewOf(answer);
  const flags = view.getUint16(2);
  const code = flags & 15;
  if ((flags & 0x0200) !== 0 || (code !== OK && code !== UNKNOWN_NAME)) return undefined;
  let at: number | undefined = HEADER;
  for (let left = view.getUint16(4); left > 0; left--) {
    const end: number | undefined = nameEnd(answer, at);
    if (end === undefined) return undefined;
    at = end + 4;
  }
  const records = view.getUint16(6) + view.getUint16(8) + view.getUint16(10);
  const places: number[] = [];
  for (let left = records; left > 0; left--) {
    at = nameEnd(answer, at);
    if (at === undefined || at + 10 > answer.length) return undefined;
    if (view.getUint16(at) !== OPT) places.push(at + 4);
    at += 10 + view.getUint16(at + 8);
    if (at > answer.length) return undefined;
  }
  return places;
}

function nameEnd(message: Uint8Array, from: number): number | undefined {
  for (let at = from; ;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > 63) return undefined;
    at += 1 + length;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
