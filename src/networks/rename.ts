import type { Tx } from "../state/state.ts";
import type { Context } from "./context.ts";
import { endpointsOf, updateEndpoint } from "./rows.ts";

/** Gives a container's places its new name. */
export function rename(context: Context, tx: Tx, container: string, name: string): void {
  for (const endpoint of endpointsOf(tx, container)) {
    updateEndpoint(tx, { ...endpoint, config: { ...endpoint.config, containerName: name } });
    tx.afterCommit(() => context.names.changed(endpoint.network));
  }
}
