import { diffUpper } from "../content/trees.ts";
import { type Context, find } from "./context.ts";
import { pathsOf } from "./paths.ts";
import { layersOf } from "./prepare.ts";

const KINDS = { C: 0, A: 1, D: 2 } as const;

/** What a container has changed in its image's files: 0 changed, 1 added, 2 deleted. */
export async function containerChanges(context: Context, reference: string): Promise<{ Path: string; Kind: 0 | 1 | 2 }[]> {
  const row = find(context, reference);
  const { upper } = pathsOf(context.needs.options, row.id);
  const changes = await diffUpper({ upper, lower: layersOf(context, row) });
  return changes.map(({ path, kind }) => ({ Path: path, Kind: KINDS[kind] }));
}
