import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import { detachedTree } from "./detached-tree.ts";
import { closeFd } from "./fd.ts";
import type { OverlayMount } from "./spawn-native.ts";
import type { Overlay, UsersOfMounts } from "./spawn-protocol.ts";

/**
 * Calls `use` with the way to mount an overlay whose layers belong to other numbers than on the disk. Each directory that holds some of them is mounted once with the mapping,
 * for as long as the mounting takes, and upper and work directory come from the same mount, as overlayfs asks for. `optionsOf` makes the options; undefined where they do not fit:
 * then each layer is a mount of its own, under a number.
 */
export function withMapped<T>(
  overlay: Overlay,
  users: UsersOfMounts,
  optionsOf: (overlay: Overlay, lower: string[]) => string | undefined,
  use: (plan: OverlayMount) => T,
): T {
  const from = mkdtempSync(`${overlay.target}.layers-`);
  const parents = [...new Set([...overlay.lower, overlay.upper].filter((path) => path !== "").map(dirname))];
  const below = (path: string): string => (path === "" ? "" : `${parents.indexOf(dirname(path))}/${basename(path)}`);
  const relative = { ...overlay, upper: below(overlay.upper), work: below(overlay.work) };
  const short = optionsOf(relative, overlay.lower.map(below));
  const numbered = (index: number): string => `l${index}`;
  const options =
    short ??
    optionsOf(
      relative,
      overlay.lower.map((_, index) => numbered(index)),
    );
  const sources: [name: string, path: string][] = parents.map((path, index) => [String(index), path]);
  if (short === undefined) sources.push(...overlay.lower.map((path, index): [string, string] => [numbered(index), path]));
  const layers: { mount: number; path: string }[] = [];
  try {
    if (options === undefined) throw new Error(`${overlay.lower.length} layers do not fit the options of a mount`);
    for (const [name, path] of sources) {
      mkdirSync(`${from}/${name}`);
      layers.push({ mount: detachedTree(path, { users: users.namespace }), path: `${from}/${name}` });
    }
    return use({ target: overlay.target, options, from, owner: users.root, layers });
  } finally {
    for (const { mount } of layers) closeFd(mount);
    rmSync(from, { recursive: true, force: true });
  }
}
