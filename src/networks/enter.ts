import { shortId } from "../base/ids.ts";
import { libc } from "../linux/libc.ts";
import { type Context, heldOf, networkReach, rewriteTable, wireOf } from "./context.ts";
import { directRules } from "./direct-ports.ts";
import { beginLimits } from "./egress.ts";
import { isLimited } from "./egress-places.ts";
import { gatewayOf } from "./gateways.ts";
import { hostHosts, hostHostsFile, hostResolvConf, hostsFile, resolvConfFile, withNameDefaults } from "./files.ts";
import { HOST_NAMES } from "./names.ts";
import type { NetworkRequest, Sandbox } from "./networks.ts";
import { hasInterface, patientSandbox } from "./parent.ts";
import { notRunning, planOf } from "./plan.ts";
import { openResolver, wantsResolver } from "./resolve.ts";
import { RESOLVER } from "./resolver-sockets.ts";
import { type EndpointRow, endpointsOf, networkById, portRules, portsOf } from "./rows.ts";

/** Makes or takes the namespace of a container whose places are reserved, and opens its ports. */
export async function enter(context: Context, request: NetworkRequest): Promise<Sandbox> {
  const plan = planOf(context.state, request);
  if (plan.kind === "container") {
    const { id, pid } = context.needs.container(plan.target);
    if (pid === undefined) throw notRunning(id);
    return { namespace: `/proc/${pid}/ns/net`, hosts: undefined, resolvConf: undefined, entered: () => {} };
  }
  const endpoints = endpointsOf(context.state, request.containerId).filter(({ config }) => config.state === "active");
  if (plan.kind === "host") {
    const hosts = hostHostsFile(hostHosts(), request.extraHosts);
    return { namespace: undefined, hosts, resolvConf: resolvConf(context, request, endpoints, { hostNetwork: true }), entered: () => {} };
  }
  const limited = isLimited(context.state, endpoints);
  const fd = await namespaceFor(context, request, endpoints);
  heldOf(context, request.containerId).fd = fd;
  try {
    context.egress.left.delete(request.containerId);
    if (limited) await beginLimits(context, endpoints);
    await openPorts(context, request.containerId, endpoints);
  } catch (error) {
    closeNamespace(context, request.containerId);
    throw error;
  }
  const resolved = wantsResolver(context, endpoints) && (await openResolver(context, request.containerId, fd));
  return {
    namespace: `/proc/${process.pid}/fd/${fd}`,
    hosts: hostsFile({
      ...request,
      ...hostsParts(context, request, endpoints),
      hostNames: resolved && !limited ? [] : hostNames(context, request, endpoints),
    }),
    resolvConf: resolvConf(context, request, endpoints, { hostNetwork: false, resolved }),
    entered: () => closeNamespace(context, request.containerId),
  };
}

async function namespaceFor(context: Context, { containerId, within }: NetworkRequest, endpoints: EndpointRow[]): Promise<number> {
  const held = heldOf(context, containerId);
  const { ready } = held;
  delete held.ready;
  const [first] = endpoints;
  if (ready !== undefined) {
    if (endpoints.length === 1 && first?.hostName === ready.hostName) return ready.fd;
    libc().close(ready.fd);
  }
  const wires = endpoints.flatMap((endpoint) => {
    const network = networkById(context.state, endpoint.network);
    return network === undefined || !hasInterface(network) ? [] : [wireOf(context, network, endpoint)];
  });
  const make = (): Promise<number> =>
    within === undefined ? context.kernel.do("sandbox", wires) : context.kernel.do("furnish", { wires, within });
  if (wires.length === 0 && within === undefined) return context.barePool.take() ?? (await context.kernel.do("sandbox", []));
  // The kernel calls the links operational within a fraction of a millisecond, on its own thread; the runtime needs a hundred times as long to start anything.
  return wires.some(({ parent }) => parent !== undefined) ? patientSandbox(make) : make();
}

/** Closes the daemon's own hold on a container's namespace, if it still has one. */
export function closeNamespace(context: Context, container: string): void {
  const held = context.held.get(container);
  if (held?.fd === undefined) return;
  libc().close(held.fd);
  delete held.fd;
}

async function openPorts(context: Context, container: string, endpoints: EndpointRow[]): Promise<void> {
  const ports = portsOf(context.state, container);
  const direct = endpoints.flatMap((endpoint) => directRules(endpoint, networkReach(context)));
  if (ports.length + direct.length === 0) return;
  const rules = [...portRules(ports, new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])), networkReach(context)), ...direct];
  context.open.add(container);
  try {
    await context.kernel.do("changePorts", { table: context.options.table, add: rules });
  } catch (error) {
    // Somebody emptied or removed the table: the rows say what belongs in it.
    context.log.warn("rewriting table {table}: {error}", { table: context.options.table, error });
    try {
      await rewriteTable(context);
    } catch (again) {
      context.open.delete(container);
      await context.keeper.take(ports);
      throw again;
    }
  }
  // The keeper answers whoever reaches it: who does is settled before.
  await context.keeper.hand(container);
}

function hostsParts(
  context: Context,
  request: NetworkRequest,
  endpoints: EndpointRow[],
): { addresses: string[]; hostGateway: string; links: { address: string; names: string[] }[] } {
  const bridge = networkById(context.state, context.bridgeId);
  return {
    addresses: endpoints.flatMap(({ address4, address6 }) => [address4, address6].filter((address) => address !== undefined)),
    hostGateway: context.options.defaults?.hostGateway ?? (bridge && gatewayOf(bridge, 4)) ?? "127.0.0.1",
    links: request.links.flatMap((link) => {
      const [reference = "", alias = reference] = link.split(":");
      const target = context.needs.container(reference.replace(/^\//, ""));
      const address = endpointsOf(context.state, target.id).find(({ config }) => config.state === "active")?.address4;
      return address === undefined ? [] : [{ address, names: [alias.split("/").at(-1) ?? alias, shortId(target.id), target.name] }];
    }),
  };
}

/** On the default bridge no resolver tells them, and what was asked for goes first. */
function hostNames(context: Context, { extraHosts }: NetworkRequest, endpoints: readonly EndpointRow[]): string[] {
  if (!endpoints.some(({ network }) => network === context.bridgeId)) return [];
  return HOST_NAMES.filter((name) => !extraHosts.some((entry) => entry.startsWith(`${name}:`) || entry.startsWith(`${name}=`)));
}

function resolvConf(
  context: Context,
  request: NetworkRequest,
  endpoints: EndpointRow[],
  how: { hostNetwork: boolean; resolved?: boolean },
): string {
  const host = withNameDefaults(hostResolvConf(), context.options.defaults ?? {});
  const ipv6 = endpoints.some(({ address6 }) => address6 !== undefined);
  return resolvConfFile({ ...request, host, ipv6, hostNetwork: how.hostNetwork, resolver: how.resolved === true ? RESOLVER : undefined });
}
