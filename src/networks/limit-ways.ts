import type { Tx } from "../state/state.ts";
import type { Context } from "./context.ts";
import { narrowEgress } from "./egress.ts";
import { refreshFiles } from "./live-files.ts";
import type { NetworkRequest } from "./networks.ts";
import { endpointsOf, updateEndpoint } from "./rows.ts";

/**
 * Brings a running container's ways out to what the request allows. The answer tells the kernel, to be called after the commit; undefined while the container
 * is in no network of its own. Connections that are open to where it may not go any more end.
 */
export function limitWays(context: Context, tx: Tx, { containerId, egress }: NetworkRequest): (() => Promise<void>) | undefined {
  const active = endpointsOf(tx, containerId).filter(({ config }) => config.state === "active");
  if (active.length === 0) return undefined;
  for (const endpoint of active) {
    const { egress: _, ...config } = endpoint.config;
    updateEndpoint(tx, { ...endpoint, config: egress === undefined ? config : { ...config, egress } });
  }
  return async () => {
    const addresses = active.flatMap(({ address4, address6 }) => [address4, address6]).filter((address) => address !== undefined);
    await narrowEgress(context, containerId, addresses);
    // Names need a resolver that knows what is allowed.
    const { pid } = context.needs.container(containerId);
    if (pid !== undefined) await refreshFiles(context, { container: containerId, pid }, {});
  };
}
