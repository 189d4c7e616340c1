import { LighterError } from "../base/errors.ts";
import type { Context } from "./context.ts";
import { refresh } from "./link-hosts.ts";
import { deleteLink, linkNamed } from "./link-rows.ts";
import { findRow } from "./rows.ts";

/** Removes a legacy link by its name, `parent/alias`: the row, and the line in the hosts file of a parent that runs. Throws `not-found`, and `conflict` for a container's own name. */
export async function removeLink(context: Context, name: string): Promise<void> {
  const { state } = context.needs;
  const link = linkNamed(state, name);
  if (link === undefined) {
    findRow(state, name);
    throw new LighterError("conflict", "Conflict, cannot remove the default link name of the container");
  }
  state.write((tx) => deleteLink(tx, link), { durable: true });
  await refresh(context, link, undefined);
}
