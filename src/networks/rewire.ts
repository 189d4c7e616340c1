import { messageOf } from "../base/errors.ts";
import { type Context, wireOf } from "./context.ts";
import type { Survey } from "./jobs.ts";
import { refreshFiles } from "./live-files.ts";
import { endpointsOf, networkById } from "./rows.ts";

/** Makes the wires that running containers have by their rows and not in the kernel: a `connect` that the last daemon's end cut short, or links that somebody deleted meanwhile. */
export async function rewire(context: Context, running: readonly { containerId: string; pid: number }[], survey: Survey): Promise<void> {
  const there = new Set(survey.links.map(({ name }) => name));
  for (const { containerId: container, pid } of running) {
    for (const endpoint of endpointsOf(context.state, container)) {
      const network = networkById(context.state, endpoint.network);
      if (endpoint.config.state !== "active" || endpoint.hostName === "" || there.has(endpoint.hostName) || network === undefined) continue;
      const names = { container, network: network.name };
      try {
        await context.kernel.do("attach", { namespace: `/proc/${pid}/ns/net`, wire: wireOf(context, network, endpoint) });
        await refreshFiles(context, { container, pid }, { joined: endpoint });
        context.log.warn("container {container} had lost its wire to network {network}: it was made again", names);
      } catch (error) {
        context.log.warn("cannot make the wire of container {container} to network {network}: {error}", {
          ...names,
          error: messageOf(error),
        });
      }
    }
  }
}
