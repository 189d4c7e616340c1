import { LighterError } from "../base/errors.ts";
import type { Reader } from "../state/state.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { type Context, find } from "./context.ts";
import { linksOf } from "./link-rows.ts";
import { type ContainerRow, rowById } from "./rows.ts";

const HOST_NETWORK = "conflicting options: host type networking can't be used with links. This would result in undefined behavior";

/** Whether links of a network mode are links; in networks of users they are aliases, which stand with the endpoint. */
function hasLinks(mode: string | undefined): boolean {
  return mode === undefined || ["", "default", "bridge", "none"].includes(mode);
}

/** Who is linked to by which alias; one alias means whom it was given to first. Throws `not-found`, and `invalid` for one in the host's network. */
export function planLinks(context: Context, host: HostConfig): { alias: string; child: string }[] {
  if (!hasLinks(host.NetworkMode)) return [];
  const planned = new Map<string, string>();
  for (const link of host.Links ?? []) {
    const [other = "", alias = other.replace(/^\//, "")] = link.split(":");
    if (alias !== "" && !planned.has(alias)) planned.set(alias, networkOwner(context, other).id);
  }
  return [...planned].map(([alias, child]) => ({ alias, child }));
}

/** The container whose network one has: itself, or the one it joined. */
function networkOwner(context: Context, reference: string): ContainerRow {
  const row = find(context, reference);
  const mode = row.desired.hostConfig.NetworkMode ?? "";
  if (mode === "host") throw new LighterError("invalid", HOST_NETWORK);
  return mode.startsWith("container:") ? networkOwner(context, mode.slice("container:".length)) : row;
}

/** Links as inspect shows them: `/other:/container/alias`; null for none, as with Docker. */
export function shownLinks(reader: Reader, row: ContainerRow): string[] | null {
  if ((row.desired.hostConfig.Links ?? []).length === 0) return row.desired.hostConfig.Links ?? null;
  const links = linksOf(reader, row.id).map(({ child, alias }) => `/${rowById(reader, child)?.name ?? child}:/${row.name}/${alias}`);
  return links.length === 0 ? null : links;
}
