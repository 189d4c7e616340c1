import { STATUS_CODES } from "./status.ts";
import type { RequestBody } from "./body.ts";
import type { ByteStream } from "./byte-stream.ts";
import type { Connection } from "./connection.ts";
import { hasToken, type RequestHead } from "./head.ts";

/** Header names as they are sent, and their values. */
export type Headers = Readonly<Record<string, string>>;

/** An answer that is written piece by piece. */
export interface AnswerStream {
  /** Queues a piece; it leaves at once. False: hold until `drained`. */
  write(piece: string | Uint8Array): boolean;
  drained(): Promise<void>;
  /** Ends the answer; the connection goes on to the next request. */
  end(): void;
  /** Breaks the answer off so that the client sees that it is not whole. */
  abort(): void;
}

const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);

/** One request and its answer, on a connection of HTTP/1.x. Exactly one of `answer`, `stream` and `hijack` is called, once. */
export class Exchange {
  readonly head: RequestHead;
  readonly body: RequestBody;
  readonly #connection: Connection;
  readonly #onDone: (reusable: boolean) => void;
  #controller: AbortController | undefined;
  #left = false;
  #answered = false;

  constructor(head: RequestHead, body: RequestBody, connection: Connection, onDone: (reusable: boolean) => void) {
    this.head = head;
    this.body = body;
    this.#connection = connection;
    this.#onDone = onDone;
  }

  /** Aborted when the client goes away before the answer is complete. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#left) this.#controller.abort();
    return this.#controller.signal;
  }

  /** Whether one of the three was called. */
  get answered(): boolean {
    return this.#answered;
  }

  /** The client is gone; known to the connection only. */
  clientLeft(): void {
    this.#left = true;
    this.#controller?.abort();
  }

  /** The whole answer in one write. */
  answer(status: number, headers: Headers, body: string | Uint8Array = EMPTY): void {
    const bytes = typeof body === "string" ? encoder.encode(body) : body;
    const bare = status === 204 || status === 304;
    const length = bare || (this.head.method === "HEAD" && bytes.length === 0) ? "" : `Content-Length: ${bytes.length}\r\n`;
    this.#begin(status, headers, length);
    if (!bare && this.head.method !== "HEAD" && bytes.length > 0) this.#connection.write(bytes);
    this.#done(this.#reusable);
  }

  /** The head now, the body in pieces (chunked; until the connection's end for HTTP/1.0). */
  stream(status: number, headers: Headers): AnswerStream {
    const chunked = this.head.minor === 1;
    const silent = this.head.method === "HEAD";
    this.#begin(status, headers, chunked ? "Transfer-Encoding: chunked\r\n" : "Connection: close\r\n");
    const connection = this.#connection;
    let open = true;
    return {
      write: (piece) => {
        const bytes = typeof piece === "string" ? encoder.encode(piece) : piece;
        if (!open || silent || bytes.length === 0) return true;
        if (!chunked) return connection.write(bytes);
        connection.write(encoder.encode(`${bytes.length.toString(16)}\r\n`));
        connection.write(bytes);
        return connection.write(CRLF);
      },
      drained: () => connection.drained(),
      end: () => {
        if (!open) return;
        open = false;
        if (chunked && !silent) connection.write(LAST_CHUNK);
        this.#done(chunked && this.#reusable);
      },
      abort: () => {
        if (!open) return;
        open = false;
        connection.destroy();
      },
    };
  }

  /**
   * Gives the connection to the caller: `101 UPGRADED` where the client asked to upgrade, and a plain 200 with the stream after its head where it did not (old clients).
   */
  hijack(headers: Headers): ByteStream {
    const protocol = hasToken(this.head.headers.get("connection"), "upgrade") ? this.head.headers.get("upgrade") : undefined;
    if (protocol === undefined) this.#begin(200, headers, "");
    else this.#begin(101, headers, `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`);
    return this.#connection;
  }

  get #reusable(): boolean {
    const connection = this.head.headers.get("connection");
    return this.head.minor === 1 ? !hasToken(connection, "close") : hasToken(connection, "keep-alive");
  }

  #begin(status: number, headers: Headers, framing: string): void {
    if (this.#answered) throw new TypeError("this request has been answered");
    this.#answered = true;
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Status"}\r\n`;
    for (const name in headers) text += `${name}: ${clean(headers[name] ?? "")}\r\n`;
    if (status !== 101) text += `Date: ${httpDate()}\r\n`;
    if (!this.#reusable && status !== 101 && !framing.startsWith("Connection")) text += "Connection: close\r\n";
    this.#connection.write(encoder.encode(`${text}${framing}\r\n`));
  }

  #done(reusable: boolean): void {
    this.#onDone(reusable);
  }
}

const CRLF = encoder.encode("\r\n");
const LAST_CHUNK = encoder.encode("0\r\n\r\n");

/** Keeps a value from ending its line. */
function clean(value: string): string {
  return /[\r\n\0]/.test(value) ? value.replace(/[\r\n\0]+/g, " ") : value;
}

let dateSecond = 0;
let dateText = "";

function httpDate(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}
