import { hostname } from "node:os";
import { toRfc3339Nano } from "../base/clock.ts";
import { logAttributes } from "./log-attributes.ts";
import type { LogSubject } from "./log-message.ts";
import { tagOf } from "./log-tag.ts";
import { commandOf } from "./desired.ts";
import type { ContainerRow } from "./rows.ts";

/** What is told of a container with each of its lines. */
export function subjectOf(row: ContainerRow): LogSubject {
  const attributes = logAttributes(row);
  return {
    id: row.id,
    name: row.name,
    imageId: row.image,
    imageName: row.desired.config.Image ?? "",
    command: commandOf(row.desired.config).join(" "),
    created: toRfc3339Nano(row.created),
    tag: tagOf(row, attributes),
    attributes,
    host: hostname(),
  };
}
