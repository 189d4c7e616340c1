/** As much of DNS's messages as names of containers need (RFC 1035, 4): one question, addresses and pointers as answers. */
export const TYPE = { a: 1, ptr: 12, aaaa: 28 } as const;
export const CODE = { ok: 0, malformed: 1, failed: 2, unknown: 3, notImplemented: 4, refused: 5 } as const;

/** How long an answer about containers holds, in seconds: what Docker says. */
const TTL = 600;
const HEADER = 12;
const IN = 1;
/** EDNS's pseudo-record (RFC 6891), and the sizes of datagrams. */
const OPT = 41;
const SMALLEST = 512;
const LARGEST = 4096;

/** What is asked. */
export interface Question {
  /** In lower case, without the last dot. */
  name: string;
  type: number;
  /** Where the question ends in the message. */
  end: number;
}

/** An answer's record: the bytes of an address, or of an encoded name. */
export interface DnsRecord {
  type: number;
  data: Uint8Array;
}

/** The question of a query; undefined for anything that is not a query with exactly one, well-formed. */
export function parseQuestion(message: Uint8Array): Question | undefined {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (message.length < HEADER || (view.getUint16(2) & 0xf800) !== 0 || view.getUint16(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = HEADER;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at - HEADER > 255) return undefined;
    at += 1 + length;
    if (length === 0) break;
    if (at > message.length) return undefined;
    labels.push(
      Buffer.from(message.subarray(at - length, at))
        .toString("latin1")
        .toLowerCase(),
    );
  }
  if (at + 4 > message.length || view.getUint16(at + 2) !== IN) return undefined;
  return { name: labels.join("."), type: view.getUint16(at), end: at + 4 };
}

/** The answer to a query: its question, a code, and records; with no question only the header. */
export function answerTo(query: Uint8Array, question: Question | undefined, code: number, records: readonly DnsRecord[] = []): Uint8Array {
  const end = question?.end ?? HEADER;
  const head = new Uint8Array(end);
  head.set(query.subarray(0, end));
  const view = new DataView(head.buffer);
  // QR and RA, with the query's RD.
  view.setUint16(2, 0x8080 | (view.getUint16(2) & 0x0100) | code);
  view.setUint16(4, question === undefined ? 0 : 1);
  view.setUint16(6, records.length);
  view.setUint32(8, 0);
  return Buffer.concat([head, ...records.map(encodeRecord)]);
}

function encodeRecord({ type, data }: DnsRecord): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xc000 | HEADER);
  view.setUint16(2, type);
  view.setUint16(4, IN);
  view.setUint32(6, TTL);
  view.setUint16(10, data.length);
  bytes.set(data, 12);
  return bytes;
}

/** Whether a message is an answer, which nobody here waits for. */
export function isAnswer(message: Uint8Array): boolean {
  return ((message[2] ?? 0) & 0x80) !== 0;
}

/** What is told to who asks what {@link parseQuestion} does not take: that only questions are answered here, or that this is none. */
export function refusal(message: Uint8Array): number {
  return ((message[2] ?? 0) & 0x78) === 0 ? CODE.malformed : CODE.notImplemented;
}

/** An answer of ours as a datagram carries it: in as many bytes as its reader takes, 512 where it did not say (RFC 6891, 6.2.3), else cut and marked so. */
export function cutToFit(answer: Uint8Array, query: Uint8Array, question: Question): Uint8Array {
  const room = roomOf(query, question);
  if (answer.length <= room) return answer;
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  let end = question.end;
  let kept = 0;
  for (let at = end; at + HEADER <= answer.length;) {
    at += HEADER + view.getUint16(at + 10);
    if (at > room) break;
    end = at;
    kept++;
  }
  const cut = answer.slice(0, end);
  const head = new DataView(cut.buffer);
  head.setUint16(2, head.getUint16(2) | 0x0200);
  head.setUint16(6, kept);
  return cut;
}

/** What the OPT record behind the question says, where it is the only record: that is how resolvers send it. */
function roomOf(query: Uint8Array, { end }: Question): number {
  const view = new DataView(query.buffer, query.byteOffset, query.byteLength);
  const alone = view.getUint32(6) === 0 && view.getUint16(10) > 0;
  if (!alone || end + 11 > query.length || query[end] !== 0 || view.getUint16(end + 1) !== OPT) return SMALLEST;
  return Math.min(Math.max(view.getUint16(end + 3), SMALLEST), LARGEST);
}

/** A name as records carry it. Labels past 63 bytes are cut. */
export function encodeName(name: string): Uint8Array {
  const labels = name.split(".").filter((label) => label !== "");
  return Buffer.concat([
    ...labels.flatMap((label) => [Uint8Array.of(Math.min(label.length, 63)), Buffer.from(label.slice(0, 63), "latin1")]),
    Uint8Array.of(0),
  ]);
}

/** The address that a name below `in-addr.arpa` or `ip6.arpa` asks for; undefined for any other name. */
export function reverseAddress(name: string): string | undefined {
  const four = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(name);
  if (four !== null) return four.slice(1).toReversed().join(".");
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  return six
    ?.split(".")
    .filter((digit) => digit !== "")
    .toReversed()
    .join("")
    .replace(/(.{4})(?=.)/g, "$1:");
}
