import type { Reader, Tx } from "../state/state.ts";
import { type ContainerRow, findRow, rowById } from "./rows.ts";

/** A legacy link (`--link child:alias`) of a container on the default bridge. https://docs.docker.com/engine/network/links/ */
export interface ContainerLink {
  parent: string;
  alias: string;
  child: string;
}

/** Stores the links of a new container, in their order. */
export function insertLinks(tx: Tx, parent: string, links: readonly { alias: string; child: string }[]): void {
  for (const [position, { alias, child }] of links.entries())
    tx.run("INSERT INTO container_links (parent, alias, child, position) VALUES (?, ?, ?, ?)", parent, alias, child, position);
}

/** The links that a container has. */
export function linksOf(reader: Reader, parent: string): ContainerLink[] {
  return reader.all("SELECT parent, alias, child FROM container_links WHERE parent = ? ORDER BY position", parent);
}

/** The links that lead to a container. */
export function linksTo(reader: Reader, child: string): ContainerLink[] {
  return reader.all("SELECT parent, alias, child FROM container_links WHERE child = ? ORDER BY parent, position", child);
}

/** Takes one link away. */
export function deleteLink(tx: Tx, { parent, alias }: ContainerLink): void {
  tx.run("DELETE FROM container_links WHERE parent = ? AND alias = ?", parent, alias);
}

/** The link that `parent/alias` names, with or without a slash before it; undefined where none does. */
export function linkNamed(reader: Reader, name: string): ContainerLink | undefined {
  const [, parent, alias] = /^\/?([^/]+)\/(.+)$/.exec(name) ?? [];
  if (parent === undefined || alias === undefined) return undefined;
  return reader.get(
    "SELECT parent, alias, child FROM container_links JOIN containers ON containers.id = parent WHERE containers.name = ? AND alias = ?",
    parent,
    alias,
  );
}

/** The container that a reference means, which may be a link's name. Throws as {@link findRow}. */
export function findLinked(reader: Reader, reference: string): ContainerRow {
  const link = reference.includes("/", 1) ? linkNamed(reader, reference) : undefined;
  return (link && rowById(reader, link.child)) ?? findRow(reader, reference);
}

/** The names that links give to containers, by the containers' ids: `/parent/alias`. */
export function linkNames(reader: Reader): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const { child, name } of reader.all<{ child: string; name: string }>(
    "SELECT child, '/' || containers.name || '/' || alias AS name FROM container_links JOIN containers ON containers.id = parent ORDER BY name",
  ))
    names.set(child, [...(names.get(child) ?? []), name]);
  return names;
}
