import { randomBytes } from "node:crypto";
import { deflateSync, gzipSync } from "node:zlib";
import { LighterError } from "../base/errors.ts";
import { addressOf } from "./log-address.ts";
import type { LogMessage, LogReceiver, LogSubject } from "./log-message.ts";
import { LogSocket } from "./log-socket.ts";
import { UdpSender } from "./log-udp.ts";

/** A datagram's most bytes, and the most chunks of one message. https://go2docs.graylog.org/current/getting_in_log_data/gelf.html */
const CHUNK = 1420;
const CHUNK_HEADER = 12;
const MOST_CHUNKS = 128;
const PACKERS: Record<string, (bytes: Buffer, options: { level: number }) => Buffer> = {
  gzip: gzipSync,
  zlib: deflateSync,
  none: (bytes) => bytes,
};

/** Sends to Graylog: JSON over UDP, compressed and cut into chunks, or over TCP with a NUL behind each. */
export function gelfReceiver(subject: LogSubject, options: Record<string, string>): LogReceiver {
  const address = addressOf("gelf", options["gelf-address"]);
  const json = (message: LogMessage): Buffer => Buffer.from(JSON.stringify(gelfOf(subject, message)));
  // Docker sends no empty messages, which Graylog refuses.
  const wanted = (messages: readonly LogMessage[]): LogMessage[] => messages.filter(({ text }) => text.length > 0);
  if (address.protocol === "tcp") {
    const socket = new LogSocket(address);
    return {
      async send(messages) {
        const parts = wanted(messages).flatMap((message) => [json(message), Buffer.of(0)]);
        if (parts.length > 0) await socket.write(Buffer.concat(parts));
      },
      close: () => socket.close(),
    };
  }
  const sender = new UdpSender(address);
  const pack = PACKERS[options["gelf-compression-type"] ?? "gzip"] ?? gzipSync;
  const level = Number(options["gelf-compression-level"] ?? 1);
  return {
    async send(messages) {
      await sender.send(wanted(messages).flatMap((message) => chunksOf(pack(json(message), { level }))));
    },
    close: () => sender.close(),
  };
}

function gelfOf(subject: LogSubject, message: LogMessage): Record<string, unknown> {
  const extra = Object.entries(subject.attributes).map(([key, value]) => [key.startsWith("_") ? key : `_${key}`, value]);
  return {
    version: "1.1",
    host: subject.host,
    short_message: Buffer.from(message.text).toString(),
    timestamp: message.seconds + Math.floor(message.nanos / 1e6) / 1000,
    level: message.stream === 2 ? 3 : 6,
    _command: subject.command,
    _container_id: subject.id,
    _container_name: subject.name,
    _created: subject.created,
    _image_id: subject.imageId,
    _image_name: subject.imageName,
    _tag: subject.tag,
    ...(Object.fromEntries(extra) as Record<string, string>),
  };
}

function chunksOf(bytes: Buffer): Buffer[] {
  if (bytes.length <= CHUNK) return [bytes];
  const room = CHUNK - CHUNK_HEADER;
  const count = Math.ceil(bytes.length / room);
  if (count > MOST_CHUNKS) throw new LighterError("invalid", `a message of ${bytes.length} bytes is too long for gelf over UDP`);
  const id = randomBytes(8);
  return Array.from({ length: count }, (_, index) =>
    Buffer.concat([Buffer.of(0x1e, 0x0f), id, Buffer.of(index, count), bytes.subarray(index * room, (index + 1) * room)]),
  );
}
