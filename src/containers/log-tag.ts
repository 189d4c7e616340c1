import { LighterError } from "../base/errors.ts";
import { shortId } from "../base/ids.ts";
import type { ContainerRow } from "./rows.ts";

type Described = Pick<ContainerRow, "id" | "name" | "image" | "desired">;

/** The words of a tag's template: https://docs.docker.com/engine/logging/log_tags/ */
const FIELDS: Readonly<Record<string, (row: Described, attributes: Readonly<Record<string, string>>) => string>> = {
  ID: (row) => shortId(row.id),
  FullID: (row) => row.id,
  Name: (row) => row.name,
  ImageID: (row) => shortId(row.image),
  ImageFullID: (row) => row.image,
  ImageName: (row) => row.desired.config.Image ?? "",
  DaemonName: () => "docker",
  Command: (row) => [...(row.desired.config.Entrypoint ?? []), ...(row.desired.config.Cmd ?? [])].join(" "),
  ContainerID: (row) => row.id,
  ContainerName: (row) => `/${row.name}`,
  ContainerImageID: (row) => row.image,
  ContainerImageName: (row) => row.desired.config.Image ?? "",
  ExtraAttributes: (_row, attributes) =>
    `map[${Object.entries(attributes)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => `${key}:${value}`)
      .join(" ")}]`,
};

const ACTION = /\{\{\s*\.(\w+)(?:\s+nil)?\s*\}\}/g;

/** Refuses a tag whose template cannot be filled, with Go's sentence. */
export function checkTag(tag: string | undefined): void {
  if (tag === undefined) return;
  for (const [action, field = ""] of tag.matchAll(ACTION)) {
    if (FIELDS[field] === undefined) {
      const at = tag.indexOf(action) + action.indexOf(".");
      throw refused(`template: log-tag:1:${at}: executing "log-tag" at <.${field}>: can't evaluate field ${field} in type *logger.Info`);
    }
  }
  const rest = tag.replaceAll(ACTION, "");
  if (!rest.includes("{{")) return;
  if (!rest.slice(rest.indexOf("{{")).includes("}}")) throw refused("template: log-tag:1: unclosed action");
  throw refused(`template: log-tag:1: only fields can stand in a tag: ${rest.slice(rest.indexOf("{{"))}`);
}

/** Fills in a tag; where none is given it is the short id. */
export function tagOf(row: Described, attributes: Readonly<Record<string, string>>): string {
  const given = row.desired.hostConfig.LogConfig?.Config?.["tag"];
  return (given || "{{.ID}}").replaceAll(ACTION, (_, field: string) => FIELDS[field]?.(row, attributes) ?? "");
}

function refused(text: string): LighterError {
  return new LighterError("invalid", text);
}
