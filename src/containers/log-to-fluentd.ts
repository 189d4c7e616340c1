import { randomBytes } from "node:crypto";
import { addressOf } from "./log-address.ts";
import type { LogMessage, LogReceiver, LogSubject } from "./log-message.ts";
import { boolOf } from "./log-options.ts";
import { LogSocket } from "./log-socket.ts";

/**
 * Sends lines to fluentd or fluent-bit in forward mode, many an event stream; with `fluentd-request-ack` a batch counts once the receiver has said so.
 * https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
 */
export function fluentdReceiver(subject: LogSubject, options: Record<string, string>): LogReceiver {
  const socket = new LogSocket(addressOf("fluentd", options["fluentd-address"]));
  const precise = boolOf(options["fluentd-sub-second-precision"]);
  const acknowledged = boolOf(options["fluentd-request-ack"]);
  return {
    async send(messages) {
      const chunk = acknowledged ? randomBytes(16).toString("base64") : undefined;
      const answer = chunk === undefined ? undefined : acknowledgement(socket, chunk);
      await socket.write(
        Buffer.concat([
          Buffer.of(0x93),
          text(subject.tag),
          array(messages.length),
          ...messages.flatMap((message) => [Buffer.of(0x92), timeOf(message, precise), map(recordOf(subject, message))]),
          map({ size: messages.length, ...(chunk === undefined ? {} : { chunk }) }),
        ]),
      );
      if (answer !== undefined) await socket.whileOpen(answer);
    },
    close: () => socket.close(),
  };
}

/** Resolves when the receiver has answered with the name of the chunk. */
function acknowledgement(socket: LogSocket, chunk: string): Promise<void> {
  return new Promise((resolve) => {
    let got = Buffer.alloc(0);
    socket.onData = (bytes) => {
      got = Buffer.concat([got, bytes]);
      if (got.includes(chunk)) resolve();
    };
  });
}

function recordOf(subject: LogSubject, { stream, text: log, partial }: LogMessage): Record<string, string | Uint8Array> {
  return {
    container_id: subject.id,
    container_name: `/${subject.name}`,
    source: stream === 2 ? "stderr" : "stdout",
    log,
    ...subject.attributes,
    ...(partial === undefined
      ? {}
      : {
          partial_message: "true",
          partial_id: partial.id,
          partial_ordinal: String(partial.ordinal),
          partial_last: String(partial.last),
        }),
  };
}

/** Whole seconds, or the extension type 0 of seconds and nanoseconds. */
function timeOf({ seconds, nanos }: LogMessage, precise: boolean): Buffer {
  const bytes = Buffer.alloc(precise ? 10 : 5);
  if (precise) bytes.set([0xd7, 0]);
  else bytes[0] = 0xce;
  bytes.writeUInt32BE(seconds, precise ? 2 : 1);
  if (precise) bytes.writeUInt32BE(nanos, 6);
  return bytes;
}

/** msgpack: https://github.com/msgpack/msgpack/blob/master/spec.md */
function array(length: number): Buffer {
  return length < 16 ? Buffer.of(0x90 | length) : Buffer.of(0xdc, length >> 8, length & 0xff);
}

/** A text, its bytes as they are. */
function text(value: string | Uint8Array): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value) : Buffer.from(value.buffer, value.byteOffset, value.length);
  const { length } = bytes;
  const head =
    length < 32
      ? Buffer.of(0xa0 | length)
      : length < 256
        ? Buffer.of(0xd9, length)
        : length < 65_536
          ? Buffer.of(0xda, length >> 8, length & 0xff)
          : Buffer.of(0xdb, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff);
  return Buffer.concat([head, bytes]);
}

function map(values: Record<string, string | Uint8Array | number>): Buffer {
  const entries = Object.entries(values);
  const head = entries.length < 16 ? Buffer.of(0x80 | entries.length) : Buffer.of(0xde, entries.length >> 8, entries.length & 0xff);
  const parts = entries.flatMap(([key, value]) => [
    text(key),
    typeof value === "number" ? Buffer.of(0xcd, value >> 8, value & 0xff) : text(value),
  ]);
  return Buffer.concat([head, ...parts]);
}
