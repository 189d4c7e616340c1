import { treeSize } from "../content/trees.ts";
import type { Context } from "./context.ts";
import { pathsOf } from "./paths.ts";
import type { ContainerRow } from "./rows.ts";

/** Bytes that a container's own files take, and those of its whole root; counted in a Worker. */
export async function sizesOf(context: Context, row: ContainerRow): Promise<{ SizeRw: number; SizeRootFs: number }> {
  const { bytes: size } = await treeSize(pathsOf(context.needs.options, row.id).upper);
  // A copy is the whole root already.
  const layers = row.chainId === undefined || context.needs.options.copies === true ? [] : context.needs.content.layerStack(row.chainId);
  return { SizeRw: size, SizeRootFs: size + layers.reduce((sum, layer) => sum + layer.size, 0) };
}
