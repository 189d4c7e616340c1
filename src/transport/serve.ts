import { LighterError } from "../base/errors.ts";
import { RequestBody } from "./body.ts";
import type { Connection } from "./connection.ts";
import { Exchange } from "./exchange.ts";
import { framingOf, hasToken, HEAD_LIMIT, parseHead, type Framing, type RequestHead } from "./head.ts";

/** Answers one request; must not throw. */
export type Handler = (exchange: Exchange) => void;

/** An unread rest of a body up to this size is read and dropped to keep the connection; a longer one costs the connection. */
const DISCARD_LIMIT = 1 << 18;
const CONTINUE = new TextEncoder().encode("HTTP/1.1 100 Continue\r\n\r\n");

/** Speaks HTTP/1.x on a connection: one request after the other until it is closed or hijacked. */
export function serve(connection: Connection, handler: Handler): void {
  let partial: Uint8Array | undefined;
  let scanned = 0;
  let current: Exchange | undefined;
  let body: RequestBody | undefined;

  function awaitRequest(rest?: Uint8Array): void {
    current = undefined;
    body = undefined;
    connection.onInputEnd = () => connection.end();
    connection.setTake(takeHead, rest);
    if (connection.inputEnded && current === undefined && partial === undefined) connection.end();
  }

  function takeHead(bytes: Uint8Array): void {
    const all = partial === undefined ? bytes : Buffer.concat([partial, bytes]);
    const end = Buffer.from(all.buffer, all.byteOffset, all.length).indexOf("\r\n\r\n", Math.max(0, scanned - 3));
    if (end < 0) {
      if (all.length > HEAD_LIMIT) return refuse(431);
      partial = all;
      scanned = all.length;
      return undefined;
    }
    partial = undefined;
    scanned = 0;
    const head = parseHead(
      Buffer.from(all.buffer, all.byteOffset, end)
        .toString("latin1")
        .replace(/^(?:\r\n)+/, ""),
    );
    const framing = head && framingOf(head.headers);
    if (head === undefined || framing === undefined) return refuse(400);
    begin(head, framing, all.subarray(end + 4));
  }

  function begin(head: RequestHead, framing: Framing, rest: Uint8Array): void {
    const expects = hasToken(head.headers.get("expect"), "100-continue") && framing.kind !== "none";
    const mine = new RequestBody(
      framing,
      (after) => connection.setTake(undefined, after),
      expects ? () => connection.write(CONTINUE) : undefined,
    );
    const exchange = new Exchange(head, mine, connection, (reusable) => finish(exchange, mine, reusable));
    body = mine;
    current = exchange;
    const upgrade = hasToken(head.headers.get("connection"), "upgrade");
    connection.onInputEnd = (how) => leave(exchange, mine, how === "closed" || !upgrade);
    connection.setTake(framing.kind === "none" ? undefined : (bytes) => mine.feed(bytes), rest);
    handler(exchange);
  }

  function leave(exchange: Exchange, itsBody: RequestBody, aborts: boolean): void {
    itsBody.fail(new LighterError("cancelled", "the client closed the connection before the request's body was complete"));
    if (aborts) exchange.clientLeft();
  }

  function finish(exchange: Exchange, itsBody: RequestBody, reusable: boolean): void {
    if (exchange !== current || itsBody !== body) return;
    if (!reusable || connection.gone) return connection.end();
    if (itsBody.complete) return awaitRequest();
    if (itsBody.unasked || itsBody.length === undefined || itsBody.length > DISCARD_LIMIT) return connection.end();
    itsBody.discard();
    connection.setTake((bytes) => {
      void itsBody.feed(bytes);
      if (itsBody.complete) awaitRequest();
    });
  }

  function refuse(status: 400 | 431): void {
    const text = status === 400 ? "400 Bad Request" : "431 Request Header Fields Too Large";
    connection.write(
      new TextEncoder().encode(`HTTP/1.1 ${text}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${text}`),
    );
    connection.end();
  }

  // A client that vanishes is told to the exchange even when its last bytes were never taken.
  connection.onGone = () => current?.clientLeft();
  awaitRequest();
}
