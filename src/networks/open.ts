import { logOf } from "../base/log.ts";
import { libc } from "../linux/libc.ts";
import type { State } from "../state/state.ts";
import { AddressBook } from "./address-book.ts";
import { changeAliases } from "./aliases.ts";
import { macOf, parseAddress } from "./addresses.ts";
import { BridgeWatch } from "./bridge-watch.ts";
import { checkRequest } from "./check.ts";
import { clearHost } from "./clear-host.ts";
import { connect, disconnect } from "./connect.ts";
import { ContainerTurns } from "./container-turns.ts";
import { type Context, type ReadySandbox, newHostName, rewriteTable, wireOf } from "./context.ts";
import { create } from "./create.ts";
import { closeEgress } from "./egress.ts";
import { noEgress } from "./egress-state.ts";
import { enter } from "./enter.ts";
import { limitWays } from "./limit-ways.ts";
import { HostWatch } from "./host-watch.ts";
import { inspect, list } from "./inspect.ts";
import { KeptPorts } from "./kept-ports.ts";
import { Kernel } from "./kernel.ts";
import { leave, release, sweepDoomed } from "./leave.ts";
import { Names } from "./names.ts";
import type { NetworksNeeds } from "./needs.ts";
import type { Networks, NetworksOptions } from "./networks.ts";
import { Pool } from "./pool.ts";
import { dropPort } from "./port-sockets.ts";
import { republish } from "./publish.ts";
import { rename } from "./rename.ts";
import { prune, remove } from "./remove.ts";
import { closeResolver } from "./resolve.ts";
import { reserve } from "./reserve.ts";
import { restore } from "./restore.ts";
import { reachable } from "./reachable.ts";
import { type EndpointRow, networkById } from "./rows.ts";
import { settings, summaries } from "./settings.ts";

/** Opens the part: starts its Worker. Nothing of the host is touched before `restore`. */
export async function openNetworks(parts: { state: State; needs: NetworksNeeds; options: NetworksOptions }): Promise<Networks> {
  const context = contextOf(parts);
  const watch = new HostWatch(context);
  const bridges = new BridgeWatch(context);
  const turns = new ContainerTurns();
  return {
    restore: async (running) => {
      await restore(context, running);
      await watch.start();
      await bridges.start();
    },
    check: (request) => checkRequest(context.state, context.needs, request),
    reserve: (tx, request) => reserve(context, tx, request),
    enter: (request) => enter(context, request),
    leave: (container) => leave(context, container),
    release: (tx, container) => release(context, tx, container),
    republish: (tx, request) => republish(context, tx, request),
    limitWays: (tx, request) => limitWays(context, tx, request),
    changeAliases: (tx, request, network, change) => changeAliases(context, tx, request, network, change),
    rename: (tx, container, name) => rename(context, tx, container, name),
    settings: (reader, container, asked) => settings(context, reader, container, asked),
    summaries: () => summaries(context.state),
    warnings: () => [...context.lost.values()],
    reconfigure: async ({ reach }) => {
      const before = context.options.reach;
      if (before === reach) return;
      context.options.reach = reach;
      try {
        await rewriteTable(context);
        await context.keeper.handAll();
      } catch (error) {
        // Asked for again, it is tried again.
        if (before === undefined) delete context.options.reach;
        else context.options.reach = before;
        throw error;
      }
    },
    reachable: (container) => reachable(context, container),
    list: (filters) => list(context.state, filters),
    inspect: (reference) => inspect(context, reference),
    create: (options) => create(context, options),
    remove: (reference) => remove(context, reference),
    prune: (filters) => prune(context, filters),
    connect: (reference, container, endpoint) =>
      turns.run(idOf(context, container), () => connect(context, reference, container, endpoint)),
    disconnect: (reference, container, { force }) =>
      turns.run(idOf(context, container), () => disconnect(context, reference, container, force)),
    [Symbol.asyncDispose]: async () => {
      await bridges[Symbol.asyncDispose]();
      await watch[Symbol.asyncDispose]();
      await close(context);
    },
  };
}

/** A container's id; what was asked for where there is none. */
function idOf({ needs }: Context, container: string): string {
  try {
    return needs.container(container).id;
  } catch {
    return container;
  }
}

function contextOf({ state, needs, options }: { state: State; needs: NetworksNeeds; options: NetworksOptions }): Context {
  const kernel = new Kernel();
  const log = logOf("networks");
  const failed = (error: unknown): void => log.warn("cannot make a namespace ready: {error}", { error });
  const context: Context = {
    state,
    needs,
    options,
    kernel,
    log,
    book: new AddressBook(state),
    held: new Map(),
    keeper: new KeptPorts(() => context),
    lost: new Map(),
    open: new Set(),
    mtu: 1500,
    bridgePool: new Pool<ReadySandbox>({
      size: options.poolSize,
      make: () => makeReady(context),
      drop: (ready) => dropReady(context, ready),
      failed,
    }),
    barePool: new Pool<number>({
      size: Math.min(options.poolSize, 4),
      make: () => kernel.do("sandbox", []),
      drop: (fd) => void libc().close(fd),
      failed,
    }),
    names: new Names(state),
    resolvers: new Map(),
    egress: noEgress(),
    doomed: new Set(),
    doomedTimer: undefined,
    bridgeId: "",
  };
  return context;
}

/** A namespace of the default bridge with everything set; its address is kept from others by the address book, and by a row once it is used. */
async function makeReady(context: Context): Promise<ReadySandbox> {
  const network = networkById(context.state, context.bridgeId);
  const address4 = network === undefined ? undefined : context.book.take(network, 4);
  const address = address4 === undefined ? undefined : parseAddress(address4);
  if (network === undefined || address4 === undefined || address === undefined) throw new Error("there is no default bridge");
  const mac = macOf(address);
  const hostName = newHostName();
  const place: EndpointRow = {
    id: "",
    network: network.id,
    container: "",
    hostName,
    address4,
    address6: undefined,
    mac,
    config: { v: 1, state: "active", containerName: "", asked: {}, name: "eth0", connected: false, gateway: true, exposed: [] },
  };
  try {
    const fd = await context.kernel.do("sandbox", [wireOf(context, network, place)]);
    return { fd, network: network.id, hostName, address4, mac };
  } catch (error) {
    context.book.free(network.id, address4);
    throw error;
  }
}

function dropReady(context: Context, ready: ReadySandbox): void {
  libc().close(ready.fd);
  context.book.free(ready.network, ready.address4);
}

/** Leaves everything that running containers use as it is; drops what is only kept ready, and with no container in it the rest as well. */
async function close(context: Context): Promise<void> {
  await Promise.all([context.bridgePool.close(), context.barePool.close()]);
  await sweepDoomed(context);
  await clearHost(context);
  for (const container of context.resolvers.keys()) closeResolver(context, container);
  for (const held of context.held.values()) for (const { fd } of held.sockets.splice(0)) dropPort(fd);
  context.keeper.close();
  closeEgress(context);
  context.kernel[Symbol.dispose]();
}
