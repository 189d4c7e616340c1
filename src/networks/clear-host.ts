import { messageOf } from "../base/errors.ts";
import { type Context, HOST_NAME_PREFIX } from "./context.ts";
import { putBackForwarding } from "./forwarding.ts";
import { allEndpoints, allNetworks } from "./rows.ts";

/**
 * Removes bridges, rules and settings of ours from the host when no container runs: the next start makes them again from the rows. Bridges that somebody else
 * put links on stay.
 */
export async function clearHost(context: Context): Promise<void> {
  if (context.bridgeId === "" || allEndpoints(context.state).some(({ config }) => config.state === "active")) return;
  try {
    const { links } = await context.kernel.do("survey", undefined);
    const foreign = new Set(links.filter(({ name }) => !name.startsWith(HOST_NAME_PREFIX)).map(({ master }) => master));
    const ours = new Set(allNetworks(context.state).map(({ bridge }) => bridge));
    const idle = links.filter(({ name, kind, index }) => kind === "bridge" && ours.has(name) && !foreign.has(index));
    await context.kernel.do(
      "deleteLinks",
      idle.map(({ name }) => name),
    );
    await context.kernel.do("dropTable", context.options.table);
    await putBackForwarding(context, [4, 6]);
  } catch (error) {
    context.log.warn("cannot clear the host of idle networks: {error}", { error: messageOf(error) });
  }
}
