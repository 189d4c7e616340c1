import { existsSync } from "node:fs";
import { shortId } from "../base/ids.ts";
import { type LogMessage, type LogReceiver, type LogSubject, timeText } from "./log-message.ts";
import { datagramReceiver } from "./log-to-syslog.ts";

/** journald's socket; the variable leads to one that a test listens on. https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ */
function journalSocket(): string {
  return process.env["LIGHTER_JOURNAL_SOCKET"] ?? "/run/systemd/journal/socket";
}

/** Whether journald listens here. */
export function hasJournal(): boolean {
  return existsSync(journalSocket());
}

/** Sends lines to journald with the fields that Docker gives them. https://docs.docker.com/engine/logging/drivers/journald/ */
export function journaldReceiver(subject: LogSubject): LogReceiver {
  const fixed = Buffer.concat(
    Object.entries({
      CONTAINER_ID: shortId(subject.id),
      CONTAINER_ID_FULL: subject.id,
      CONTAINER_NAME: subject.name,
      CONTAINER_TAG: subject.tag,
      IMAGE_NAME: subject.imageName,
      SYSLOG_IDENTIFIER: subject.tag,
      ...Object.fromEntries(Object.entries(subject.attributes).map(([key, value]) => [fieldName(key), value])),
    }).map(([key, value]) => field(key, Buffer.from(value))),
  );
  return datagramReceiver(journalSocket(), (message) => Buffer.concat([fixed, ...fieldsOf(message)]));
}

function fieldsOf(message: LogMessage): Buffer[] {
  const { partial } = message;
  return [
    field("PRIORITY", Buffer.from(message.stream === 2 ? "3" : "6")),
    field("SYSLOG_TIMESTAMP", Buffer.from(timeText(message))),
    ...(partial === undefined
      ? []
      : [
          field("CONTAINER_PARTIAL_ID", Buffer.from(partial.id)),
          field("CONTAINER_PARTIAL_ORDINAL", Buffer.from(String(partial.ordinal))),
          field("CONTAINER_PARTIAL_LAST", Buffer.from(String(partial.last))),
          ...(partial.last ? [] : [field("CONTAINER_PARTIAL_MESSAGE", Buffer.from("true"))]),
        ]),
    field("MESSAGE", message.text),
  ];
}

/** Fields with a newline in them carry their length. */
function field(name: string, value: Uint8Array): Buffer {
  if (!value.includes(0x0a)) return Buffer.concat([Buffer.from(`${name}=`), value, Buffer.from("\n")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, Buffer.from("\n")]);
}

/** Upper case, digits and underscores, the first one a letter. */
function fieldName(key: string): string {
  return key
    .toUpperCase()
    .replaceAll(/[^A-Z0-9_]/g, "_")
    .replace(/^[_0-9]+/, "");
}
