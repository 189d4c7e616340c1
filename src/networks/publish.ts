import { messageOf } from "../base/errors.ts";
import type { Tx } from "../state/state.ts";
import { type Binding, bindingsOf } from "./bindings.ts";
import { type Context, heldOf, networkReach, onRollback, rewriteTable } from "./context.ts";
import { directPorts, directRules, hasDirect } from "./direct-ports.ts";
import type { PortRule } from "./firewall.ts";
import type { NetworkRequest } from "./networks.ts";
import { portKey } from "./port-records.ts";
import { dropPort, holdPort } from "./port-sockets.ts";
import { reserveBindings } from "./reserve-ports.ts";
import { type PortRow, deletePort, endpointsOf, networkById, portRules, portsOf, updateEndpoint } from "./rows.ts";

/**
 * Brings the host ports of a running container to what the request asks: rows and sockets at once, what stays is not touched. The answer opens and
 * closes them in the kernel, to be called after the commit; undefined, and nothing done, while the container is in no network that leads out.
 * Throws `unavailable` with Docker's texts for a port in use.
 */
export function republish(context: Context, tx: Tx, request: NetworkRequest): (() => Promise<void>) | undefined {
  const { containerId } = request;
  const gateway = endpointsOf(tx, containerId).find(({ config }) => config.state === "active" && config.gateway);
  if (gateway === undefined || gateway.hostName === "") return undefined;
  const before = portsOf(tx, containerId);
  const { gone, open } = compare(before, bindingsOf(request));
  for (const port of gone) letGo(context, tx, port);
  reserveBindings(context, tx, { container: containerId, endpoint: gateway, bindings: open });
  const exposed = [...new Set([...request.exposed, ...Object.keys(request.portBindings)])];
  const direct = directPorts(networkById(tx, gateway.network)?.config.options ?? {}, bindingsOf(request));
  const config = { ...gateway.config, exposed, ...(direct.length + (gateway.config.direct ?? []).length > 0 && { direct }) };
  updateEndpoint(tx, { ...gateway, config });
  // Those where the way out was before know no better.
  for (const { config: other, ...row } of endpointsOf(tx, containerId))
    if (row.id !== gateway.id && other.direct !== undefined) updateEndpoint(tx, { ...row, config: { ...other, direct: [] } });
  const added = portsOf(tx, containerId).filter(
    (port) => !before.some((old) => isSame(old, port)) || gone.some((old) => isSame(old, port)),
  );
  const reach = networkReach(context);
  const shut = directRules(gateway, reach);
  const opened = directRules({ ...gateway, config }, reach);
  return () => apply(context, containerId, { gone, added, direct: { remove: without(shut, opened), add: without(opened, shut) } });
}

/** Which ports no wish asks for any more, and which wishes no port answers. A wish for every address is answered by one port for each family. */
function compare(ports: readonly PortRow[], bindings: readonly Binding[]): { gone: PortRow[]; open: Binding[] } {
  const wishes = bindings.map((wish) => ({ wish, answers: [] as PortRow[] }));
  const gone: PortRow[] = [];
  for (const port of ports) {
    const fitting = wishes.filter(({ wish, answers }) => fits(wish, port) && answers.every((other) => isSibling(other, port)));
    // A half-answered wish first, then one that names the port, then one that takes any.
    const best = fitting.find(({ answers }) => answers.length > 0) ?? fitting.find(({ wish }) => wish.first !== 0) ?? fitting[0];
    if (best === undefined) gone.push(port);
    else best.answers.push(port);
  }
  return { gone, open: wishes.filter(({ answers }) => answers.length === 0).map(({ wish }) => wish) };
}

function fits(wish: Binding, port: PortRow): boolean {
  const named = wish.first !== 0;
  const inRange = port.hostPort >= wish.first && port.hostPort <= wish.last;
  const address = wish.hostAddress === "" || wish.hostAddress === port.hostAddress;
  return wish.protocol === port.protocol && wish.containerPort === port.containerPort && address && (!named || inRange);
}

/** The same port of the other address family. */
function isSibling(one: PortRow, other: PortRow): boolean {
  return one.hostPort === other.hostPort && one.hostAddress !== other.hostAddress;
}

function letGo(context: Context, tx: Tx, port: PortRow): void {
  const { sockets } = heldOf(context, port.container);
  // The keeper's sockets stay where they are until the change is known to last.
  const index = sockets.findIndex((held) => portKey(held) === portKey(port));
  if (index >= 0) {
    for (const { fd } of sockets.splice(index, 1)) dropPort(fd);
    onRollback(tx, () => {
      const held = holdPort(port);
      if (typeof held === "number") sockets.push({ ...port, fd: held });
    });
  }
  deletePort(tx, port);
}

function isSame(one: PortRow, other: PortRow): boolean {
  return one.protocol === other.protocol && one.hostAddress === other.hostAddress && one.hostPort === other.hostPort;
}

function without(rules: readonly PortRule[], others: readonly PortRule[]): PortRule[] {
  return rules.filter((rule) => !others.some((other) => portKey(rule) === portKey(other)));
}

async function apply(
  context: Context,
  container: string,
  { direct, ...change }: { gone: PortRow[]; added: PortRow[]; direct: { add: PortRule[]; remove: PortRule[] } },
): Promise<void> {
  const endpoints = new Map(endpointsOf(context.state, container).map((endpoint) => [endpoint.id, endpoint]));
  if (portsOf(context.state, container).length > 0 || hasDirect(context.state, container)) context.open.add(container);
  else context.open.delete(container);
  const stay = new Set(portsOf(context.state, container).map(portKey));
  await context.keeper.take(change.gone.filter((port) => !stay.has(portKey(port))));
  const remove = [...portRules(change.gone, endpoints, networkReach(context)), ...direct.remove];
  const add = [...portRules(change.added, endpoints, networkReach(context)), ...direct.add];
  if (remove.length + add.length > 0) await changeTable(context, { add, remove });
  // The keeper answers whoever reaches it: who does is settled before.
  await context.keeper.hand(container);
}

async function changeTable(context: Context, change: { add: PortRule[]; remove: PortRule[] }): Promise<void> {
  try {
    await context.kernel.do("changePorts", { table: context.options.table, ...change });
  } catch (error) {
    // Somebody emptied or removed the table: the rows say what belongs in it.
    context.log.warn("rewriting table {table}: {error}", { table: context.options.table, error: messageOf(error) });
    await rewriteTable(context);
  }
}
