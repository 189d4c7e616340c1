import { LighterError, messageOf } from "../base/errors.ts";
import { parseAddress } from "./addresses.ts";
import type { Context } from "./context.ts";
import { addressesOf } from "./dns-addresses.ts";
import { reverseAddress } from "./dns-message.ts";
import { type EgressLog, listenToRefused } from "./egress-log.ts";
import { type EgressPorts, namesMatch, portsKey } from "./egress-rules.ts";
import type { EgressAddress, EgressPlace } from "./egress-table.ts";
import { limitedPlace, readEgress } from "./egress-places.ts";
import type { EgressState, LimitedPlace, NamedAddress } from "./egress-state.ts";
import { gatewayOf } from "./gateways.ts";
import { refusedTeller } from "./egress-events.ts";
import { type EndpointRow, allEndpoints, networkById } from "./rows.ts";

/** How much longer than its record an address of a name stays allowed, and how long at least and at most; seconds. */
const LONGER = 60;
const SHORTEST = 60;
const LONGEST = 86_400;
/** Addresses of names that one container may have open at once. */
const MOST = 4096;

/** Brings the tables to what the rows say, before a limited container's first packet and after its last. Nothing is done where nothing is limited. */
export async function refreshEgress(context: Context): Promise<void> {
  const { egress, kernel, options } = context;
  collect(context);
  const places = [...egress.places.values()].flat();
  if (places.length === 0 && !egress.written) return;
  if (places.length > 0) egress.log ??= openLog(context);
  egress.written = places.length > 0;
  const addresses = [...egress.addresses.values()].flatMap((some) => [...some.values()]).flatMap((one) => stillOpen(one));
  const model = { places: places.map(placeOf), addresses, group: egress.log?.group ?? 0 };
  try {
    await kernel.do("writeEgress", { table: `${options.table}_egress`, model });
  } catch (cause) {
    const sentence = `Cannot limit what containers may reach, in table "${options.table}_egress": ${messageOf(cause)}`;
    throw new LighterError(
      "unsupported",
      `${sentence}; the kernel needs nf_tables of inet and bridges, nft_reject_inet, nft_limit, nft_log and nft_fib_inet`,
      { cause },
    );
  }
}

/** Brings the tables to a container's new rules, and ends what it has open to where it may not go any more. Of addresses whose names nobody knows any more none is allowed. */
export async function narrowEgress(context: Context, container: string, addresses: readonly string[]): Promise<void> {
  const { egress, kernel } = context;
  for (const address of addresses) {
    const some = egress.addresses.get(address);
    for (const [key, { names }] of some ?? []) if (names.length === 0) some?.delete(key);
  }
  await refreshEgress(context);
  const places = egress.places.get(container) ?? [];
  // Whether their records have ended or not.
  const namedBy = (from: string): EgressAddress[] => [...(egress.addresses.get(from)?.values() ?? [])];
  const ways = places.map(({ addresses: own, near, ranges }) => ({ addresses: own, near, ranges, named: own.flatMap(namedBy) }));
  if (ways.length > 0) await kernel.do("cutWays", ways);
}

/** Limits new places before their first packet: the tables, and connections that somebody else began with their addresses are known no more. */
export async function beginLimits(context: Context, endpoints: readonly EndpointRow[]): Promise<void> {
  await refreshEgress(context);
  const addresses = endpoints.flatMap(({ address4, address6 }) => [address4, address6]).filter((address) => address !== undefined);
  await context.kernel.do("forgetBegun", addresses);
}

/** At the daemon's start: what names were allowed stays so for the time that is left. */
export async function restoreEgress(context: Context): Promise<void> {
  collect(context);
  const { egress } = context;
  const ports = [...egress.places.values()].flat().flatMap(({ named }) => named);
  const found = ports.length === 0 ? [] : await readNamed(context, ports);
  for (const one of found) remember(egress, one, []);
  egress.written = true;
  try {
    await refreshEgress(context);
  } catch (error) {
    // Where nothing is limited there is nothing to remove either on a kernel that has no such tables.
    if (egress.places.size > 0) context.log.error("{error}", { error: messageOf(error) });
    egress.written = egress.places.size > 0;
  }
}

/** What cannot be read is allowed no more: names are to be asked for again. */
async function readNamed({ kernel, options, log }: Context, ports: EgressPorts[]): Promise<EgressAddress[]> {
  const table = `${options.table}_egress`;
  try {
    return await kernel.do("readEgress", { table, ports });
  } catch (error) {
    log.error("addresses of names that containers may reach are forgotten, as table {table} cannot be read: {error}", {
      table,
      error: messageOf(error),
    });
    return [];
  }
}

/** Ends listening; the rules stay. */
export function closeEgress({ egress }: Context): void {
  egress.log?.close();
  egress.log = undefined;
}

/** Whether a container may ask others about a name: one with limits everywhere asks for the names that it may reach. */
export function mayAsk(context: Context, container: string, name: string): boolean {
  const places = context.egress.places.get(container);
  if (places === undefined || context.egress.open.has(container)) return true;
  if (places.some(({ names }) => names.some((rule) => namesMatch(rule.name, name)))) return true;
  if (reverseAddress(name) === undefined) refusedTeller(context).tellName(container, name);
  return false;
}

/** Lets a container reach what an answer gives to a name that it may reach; resolves when the kernel knows. */
export async function learn(context: Context, container: string, name: string, answer: Uint8Array): Promise<void> {
  const places = context.egress.places.get(container) ?? [];
  const wanted = places.flatMap((place) => place.names.filter((rule) => namesMatch(rule.name, name)).map((rule) => ({ place, rule })));
  if (wanted.length === 0) return;
  const found = (addressesOf(answer, name) ?? []).filter(({ address }) => mayBeNamed(address));
  const added: EgressAddress[] = [];
  for (const { address, ttl } of found) {
    const timeout = (Math.min(Math.max(ttl, SHORTEST), LONGEST) + LONGER) * 1000;
    for (const { place, rule } of wanted) {
      const { name: _, ...ports } = rule;
      for (const from of place.addresses) {
        if (parseAddress(from)?.family !== parseAddress(address)?.family) continue;
        const one = { ...ports, from, address, timeout };
        noteName(context.egress, one, name);
        if (isNew(context.egress, one, ttl) && remember(context.egress, one, [name])) added.push(one);
      }
    }
  }
  if (added.length > 0) await allow(context, added);
}

async function allow(context: Context, addresses: EgressAddress[]): Promise<void> {
  try {
    await context.kernel.do("allowEgress", { table: `${context.options.table}_egress`, addresses });
  } catch (error) {
    // Somebody emptied or removed the table: the rows and what is remembered say what belongs in it.
    context.log.warn("rewriting table {table}: {error}", { table: `${context.options.table}_egress`, error: messageOf(error) });
    await refreshEgress(context);
  }
}

/** No name opens the container's way to this machine's loopback, to its neighbours on the link, or to groups. */
function mayBeNamed(address: string): boolean {
  return !/^(?:0\.|127\.|169\.254\.|22[4-9]\.|2[3-5]\d\.|::1?$|::ffff:|fe[89ab]|ff)/.test(address);
}

function keyOf(one: EgressAddress): string {
  return `${one.address} ${portsKey(one)}`;
}

function isNew({ addresses }: EgressState, one: EgressAddress, ttl: number): boolean {
  const until = addresses.get(one.from)?.get(keyOf(one))?.until ?? 0;
  return until < Date.now() + (Math.min(ttl, LONGEST) + LONGER / 2) * 1000;
}

function noteName({ addresses }: EgressState, one: EgressAddress, name: string): void {
  const known = addresses.get(one.from)?.get(keyOf(one))?.names;
  if (known?.includes(name) === false) known.push(name);
}

function remember({ addresses }: EgressState, one: EgressAddress, names: string[]): boolean {
  const some = addresses.get(one.from) ?? new Map<string, NamedAddress>();
  addresses.set(one.from, some);
  if (some.size >= MOST) for (const [key, { until }] of some) if (until < Date.now()) some.delete(key);
  if (some.size >= MOST && !some.has(keyOf(one))) return false;
  const known = some.get(keyOf(one))?.names ?? [];
  some.set(keyOf(one), { ...one, until: Date.now() + one.timeout, names: [...new Set([...known, ...names])] });
  return true;
}

function stillOpen({ until, ...one }: NamedAddress): EgressAddress[] {
  const timeout = until - Date.now();
  return timeout > 0 ? [{ ...one, timeout }] : [];
}

function placeOf({ hostName, addresses, near, ranges, named }: LimitedPlace): EgressPlace {
  return { hostName, addresses, near, ranges, named };
}

/** Once for each container. */
function tellShut({ egress, log }: Context, { container, config }: EndpointRow, failure: string): void {
  if (egress.unread.has(container)) return;
  egress.unread.add(container);
  log.error("container {name} reaches nothing: {failure}", { name: config.containerName, failure });
}

/** Reads the limited places from the rows; what was allowed to addresses that are limited no more, or otherwise, is forgotten. */
function collect(context: Context): void {
  const { egress, state } = context;
  egress.places = new Map();
  egress.open = new Set();
  const free = new Set<string>();
  const bridge = networkById(state, context.bridgeId);
  const hostGateway = context.options.defaults?.hostGateway ?? (bridge && gatewayOf(bridge, 4));
  for (const endpoint of allEndpoints(state)) {
    if (endpoint.config.state !== "active" || egress.left.has(endpoint.container)) continue;
    const network = networkById(state, endpoint.network);
    if (network?.bridge === undefined) continue;
    const { rules, failure } = readEgress(network, endpoint);
    if (failure !== undefined) tellShut(context, endpoint, failure);
    if (rules === undefined) free.add(endpoint.container);
    else
      egress.places.set(endpoint.container, [
        ...(egress.places.get(endpoint.container) ?? []),
        limitedPlace(network, endpoint, rules, hostGateway),
      ]);
  }
  for (const container of free) if (egress.places.has(container)) egress.open.add(container);
  const owners = new Map([...egress.places.values()].flat().flatMap((place) => place.addresses.map((one) => [one, place] as const)));
  for (const [from, some] of egress.addresses) {
    const owner = owners.get(from);
    // An address may have gone to another container, and what was allowed to the last one with it.
    const rules = owner?.hostName === egress.owners.get(from) ? (owner?.names ?? []) : [];
    for (const [key, one] of some) if (!isStillNamed(one, rules)) some.delete(key);
    if (some.size === 0) egress.addresses.delete(from);
  }
  egress.owners = new Map([...owners].map(([from, { hostName }]) => [from, hostName]));
}

function isStillNamed(one: NamedAddress, rules: LimitedPlace["names"]): boolean {
  const kind = portsKey(one);
  const isKnown = one.names.length > 0;
  return rules.some((rule) => portsKey(rule) === kind && (!isKnown || one.names.some((name) => namesMatch(rule.name, name))));
}

/** Where nothing is told, nothing is open either: refused packets are then refused in silence. */
function openLog(context: Context): EgressLog | undefined {
  const first = 1000 + (Bun.hash.crc32(context.options.table) % 60_000);
  try {
    return listenToRefused(first, (packets) => refusedTeller(context).tellPackets(packets));
  } catch (error) {
    context.log.warn("refused ways out are not told: {error}", { error: messageOf(error) });
    return undefined;
  }
}
