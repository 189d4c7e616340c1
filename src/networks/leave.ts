import type { Tx } from "../state/state.ts";
import { type Context, networkReach, prefixOf, rewriteTable } from "./context.ts";
import { directRules } from "./direct-ports.ts";
import { fixedAddresses } from "./check.ts";
import { refreshEgress } from "./egress.ts";
import { closeNamespace } from "./enter.ts";
import { closeResolver } from "./resolve.ts";
import { dropPort } from "./port-sockets.ts";
import { networkEvent } from "./reserve.ts";
import { type EndpointRow, deleteEndpoint, endpointsOf, networkById, portRules, portsOf, putEndpoint } from "./rows.ts";

/** How long the kernel gets to delete a gone namespace's links by itself, in ms: it does so in batches, and better than we could. */
const GRACE = 400;
/** Subnets with a longer prefix give their addresses out again soon. */
const SMALL_SUBNET = 24;

/** Closes the ports and lets the namespace go. Links whose address may be back in a moment go at once. */
export async function leave(context: Context, container: string): Promise<void> {
  // A reservation that was rolled back in this turn gives back what it took first, see onRollback.
  await Promise.resolve();
  const endpoints = endpointsOf(context.state, container).filter(({ config }) => config.state === "active");
  const held = context.held.get(container);
  if (held?.ready !== undefined) {
    held.fd = held.ready.fd;
    delete held.ready;
  }
  closeNamespace(context, container);
  closeResolver(context, container);
  const limited = context.egress.places.has(container);
  if (limited) context.egress.left.add(container);
  const links = endpoints.filter(({ hostName }) => hostName !== "");
  // Who shares the namespace lives on: its way out ends before its limits do.
  const fixed = limited ? links : links.filter((endpoint) => mayReturn(context, endpoint));
  doom(
    context,
    links.filter((link) => !fixed.includes(link)).map(({ hostName }) => hostName),
  );
  await closePorts(context, container);
  if (fixed.length > 0)
    await context.kernel.do(
      "deleteLinks",
      fixed.map(({ hostName }) => hostName),
    );
  if (limited) await refreshEgress(context);
}

/** Whether the address may be given out again in a moment: it was asked for by name, or its subnet is small. */
function mayReturn(context: Context, { network: id, config: { asked } }: EndpointRow): boolean {
  const network = networkById(context.state, id);
  return fixedAddresses(asked).length > 0 || (network !== undefined && prefixOf(network, 4) > SMALL_SUBNET);
}

async function closePorts(context: Context, container: string): Promise<void> {
  if (!context.open.delete(container)) return;
  const endpoints = new Map(endpointsOf(context.state, container).map((endpoint) => [endpoint.id, endpoint]));
  const ports = portsOf(context.state, container);
  const direct = [...endpoints.values()].flatMap((endpoint) => directRules(endpoint, networkReach(context)));
  const rules = [...portRules(ports, endpoints, networkReach(context)), ...direct];
  await context.keeper.take(ports);
  if (rules.length === 0) return;
  try {
    await context.kernel.do("changePorts", { table: context.options.table, remove: rules });
  } catch (error) {
    context.log.warn("rewriting table {table}: {error}", { table: context.options.table, error });
    await rewriteTable(context);
  }
}

/** Has links deleted in a while, many at once, if they are still there then. */
export function doom(context: Context, links: string[]): void {
  for (const link of links) context.doomed.add(link);
  if (context.doomed.size === 0 || context.doomedTimer !== undefined) return;
  context.doomedTimer = setTimeout(() => void sweepDoomed(context), GRACE);
}

/** Deletes now what {@link doom} put off. */
export async function sweepDoomed(context: Context): Promise<void> {
  clearTimeout(context.doomedTimer);
  context.doomedTimer = undefined;
  const links = [...context.doomed];
  context.doomed.clear();
  if (links.length === 0) return;
  try {
    await context.kernel.do("deleteLinks", links);
  } catch (error) {
    context.log.warn("cannot delete links of gone containers: {error}", { error });
  }
}

/** Deletes a container's rows, except that networks joined by `connect` stay configured for its next start; its host ports are free afterwards. */
export function release(context: Context, tx: Tx, container: string): void {
  for (const endpoint of endpointsOf(tx, container)) {
    if (endpoint.config.state !== "active") continue;
    const network = networkById(tx, endpoint.network);
    const { address4, address6 } = endpoint;
    deleteEndpoint(tx, endpoint.id);
    if (endpoint.config.connected) {
      const config = { ...endpoint.config, state: "configured" as const };
      putEndpoint(tx, { ...endpoint, hostName: "", address4: undefined, address6: undefined, mac: undefined, config });
    }
    tx.afterCommit(() => {
      context.names.changed(endpoint.network);
      context.book.free(endpoint.network, address4);
      context.book.free(endpoint.network, address6);
    });
    if (network !== undefined) networkEvent(tx, "disconnect", network, container);
  }
  tx.run("DELETE FROM ports WHERE container = ?", container);
  tx.afterCommit(() => {
    closeNamespace(context, container);
    context.egress.left.delete(container);
    for (const { fd } of context.held.get(container)?.sockets ?? []) dropPort(fd);
    context.held.delete(container);
  });
}
