import { readFile, writeFile } from "node:fs/promises";
import { LighterError, messageOf } from "../base/errors.ts";
import { shortId } from "../base/ids.ts";
import { logOf } from "../base/log.ts";
import { type Context, current, isRunning } from "./context.ts";
import { type ContainerLink, linksOf, linksTo } from "./link-rows.ts";
import { networkRequest } from "./network-request.ts";
import { pathsOf } from "./paths.ts";
import { type ContainerRow, rowById } from "./rows.ts";

const log = logOf("containers");

/** Whom a container's links lead to, for its network: `id:alias`. Throws `conflict` for one that does not run, or is not on the default bridge. */
export function startableLinks(context: Context, row: ContainerRow): string[] {
  return linksOf(context.needs.state, row.id).map(({ child, alias }) => {
    const peer = current(context, child);
    if (!isRunning(peer))
      throw new LighterError("conflict", `Cannot link to a non running container: /${peer.name} AS /${row.name}/${alias}`);
    if (bridgeAddress(context, peer) === undefined)
      throw new LighterError("conflict", `Cannot link to /${peer.name}, as it does not belong to the default network.`);
    return `${child}:${alias}`;
  });
}

/** The address of a container on the default bridge. */
export function bridgeAddress(context: Context, row: ContainerRow): string | undefined {
  const { networks } = context.needs.networks.settings(context.needs.state, row.id, networkRequest(row));
  return networks["bridge"]?.IPAddress || undefined;
}

/** A hosts file in which a link's line tells of another address, or is gone. */
export function relink(hosts: string, names: string, line: string | undefined): string {
  const isLine = (text: string): boolean => text.split("\t")[1] === names;
  return hosts
    .split("\n")
    .flatMap((text) => (isLine(text) ? (line === undefined ? [] : [line]) : [text]))
    .join("\n");
}

/** Tells the running containers that are linked to one which has started of its address: it may have had another one before. */
export async function tellParents(context: Context, row: ContainerRow): Promise<void> {
  for (const link of linksTo(context.needs.state, row.id)) await refresh(context, link, bridgeAddress(context, row));
}

/** Brings the hosts file of a link's running parent up to date; without an address the line goes. */
export async function refresh(context: Context, link: ContainerLink, address: string | undefined): Promise<void> {
  const [parent, child] = [link.parent, link.child].map((id) => rowById(context.needs.state, id));
  if (parent === undefined || child === undefined || !isRunning(parent)) return;
  const path = pathsOf(context.needs.options, parent.id).hosts;
  try {
    const before = await readFile(path, "utf8");
    const names = namesIn(before, link);
    if (names === undefined) return;
    // In place: the file is mounted into the container.
    const after = relink(before, names, address === undefined ? undefined : `${address}\t${linkedNames(link, child.name)}`);
    if (after !== before) await writeFile(path, after);
  } catch (error) {
    log.warn("cannot tell {id} of its link {alias}: {error}", { id: parent.id, alias: link.alias, error: messageOf(error) });
  }
}

/** The names of a link as they stand in a hosts file: the other container may have been called otherwise then. */
function namesIn(hosts: string, { alias, child }: ContainerLink): string | undefined {
  const start = `${alias.split("/").at(-1)} ${shortId(child)}`;
  return hosts
    .split("\n")
    .map((line) => line.split("\t")[1] ?? "")
    .find((names) => names === start || names.startsWith(`${start} `));
}

/** A name that is also the short id, or the alias itself, stands there once. */
function linkedNames({ alias, child }: ContainerLink, name: string): string {
  return [...new Set([alias.split("/").at(-1) ?? alias, shortId(child), name])].join(" ");
}
