import { LighterError } from "../base/errors.ts";
import type { Duplex, Take } from "./duplex.ts";

/** A hijacked stream: what the daemon answered, and the raw bytes after it. */
export interface Hijacked extends Duplex {
  /** `application/vnd.docker.multiplexed-stream` or `...raw-stream`; empty from daemons before API 1.42. */
  readonly contentType: string;
}

/** An answer other than a switch of protocols. */
export interface Refused {
  status: number;
  body: string;
}

const HEAD_LIMIT = 64 * 1024;

/** Writes an HTTP/1.1 request that asks for the connection itself, and reads the answer's head. */
export async function upgrade(
  duplex: Duplex,
  target: string,
  host: string,
  headers: Record<string, string>,
  body?: string,
): Promise<Hijacked | Refused> {
  const lines = [`POST ${target} HTTP/1.1`, `Host: ${host}`, "Connection: Upgrade", "Upgrade: tcp"];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  const encoder = new TextEncoder();
  const payload = encoder.encode(body ?? "");
  if (body !== undefined) lines.push("Content-Type: application/json");
  lines.push(`Content-Length: ${payload.length}`, "", "");
  await duplex.write(joined(encoder.encode(lines.join("\r\n")), payload));
  return readAnswer(duplex);
}

function readAnswer(duplex: Duplex): Promise<Hijacked | Refused> {
  const { promise, resolve, reject } = Promise.withResolvers<Hijacked | Refused>();
  let head = new Uint8Array();
  let refused: { status: number; headers: string; body: Buffer } | undefined;
  let later: Take | undefined;
  // Bytes after the head wait here until the caller of read() takes them: the promise returned to the socket holds it back.
  let opened: ((take: Take) => void) | undefined;

  const onBytes: Take = (bytes) => {
    if (later) return later(bytes);
    if (refused) {
      refused.body = Buffer.concat([refused.body, bytes]);
      if (isWhole(refused.headers, refused.body)) finishRefused();
      return undefined;
    }
    head = joined(head, bytes);
    const end = endOfHead(head);
    if (end < 0) {
      if (head.length > HEAD_LIMIT) reject(new LighterError("internal", "the answer's header is too long"));
      return undefined;
    }
    const text = new TextDecoder().decode(head.subarray(0, end));
    const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(text)?.[1] ?? 0);
    const rest = head.slice(end + 4);
    if (status !== 101 && status !== 200) {
      refused = { status, headers: text, body: Buffer.from(rest) };
      if (isWhole(text, refused.body)) finishRefused();
      return undefined;
    }
    const taken = Promise.withResolvers<Take>();
    opened = taken.resolve;
    const contentType = /^content-type:\s*(\S+)/im.exec(text)?.[1] ?? "";
    resolve(hijacked(contentType));
    return taken.promise.then((take) => {
      later = take;
      return rest.length > 0 ? take(rest) : undefined;
    });
  };
  const finishRefused = (): void => {
    if (!refused) return;
    resolve({ status: refused.status, body: unchunked(refused.headers, refused.body) });
    duplex.close();
  };
  const done = duplex.read(onBytes);
  done.then(
    () => (refused ? finishRefused() : reject(new LighterError("unavailable", "the connection was closed before an answer came"))),
    reject,
  );
  const hijacked = (contentType: string): Hijacked => ({
    contentType,
    write: (bytes) => duplex.write(bytes),
    closeWrite: () => duplex.closeWrite(),
    close: () => duplex.close(),
    read: (take) => {
      opened?.(take);
      return done;
    },
  });
  return promise;
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** Where the empty line after the headers begins; -1 where there is none yet. */
function endOfHead(bytes: Uint8Array): number {
  const [CR, LF] = [13, 10];
  for (let at = bytes.indexOf(CR); at >= 0; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF) return at;
  }
  return -1;
}

function isWhole(headers: string, body: Buffer): boolean {
  const length = /^content-length:\s*(\d+)/im.exec(headers)?.[1];
  if (length !== undefined) return body.length >= Number(length);
  return /^transfer-encoding:\s*chunked/im.test(headers) && body.includes("0\r\n\r\n");
}

function unchunked(headers: string, body: Buffer): string {
  if (!/^transfer-encoding:\s*chunked/im.test(headers)) return body.toString();
  let text = "";
  let at = 0;
  while (at < body.length) {
    const end = body.indexOf("\r\n", at);
    const size = end < 0 ? 0 : parseInt(body.subarray(at, end).toString(), 16);
    if (!(size > 0)) break;
    text += body.subarray(end + 2, end + 2 + size).toString();
    at = end + 2 + size + 2;
  }
  return text;
}
