import type { Netlink } from "../linux/netlink.ts";
import { attributes, beNumberOf, textOf } from "../linux/netlink.ts";
import { HOOK, NFPROTO } from "../linux/nft.ts";
import {
  type RawChain,
  type RawElement,
  type RawRule,
  type RawSet,
  type Ruleset,
  elementsIn,
  readElements,
  verdictOf,
} from "../linux/nft-read.ts";

/** A table of somebody else's with what of it decides about packets to this host. */
export interface HostTable {
  family: number;
  table: string;
  /** Chains that the kernel calls for packets to this host. */
  bases: RawChain[];
  /** Those and all that they lead to, by name. */
  chains: Map<string, RawRule[]>;
  sets: Map<string, HostSet>;
}

/** A set with its elements as the kernel gave them. */
export interface HostSet extends RawSet {
  elements: Uint8Array[];
  /** When they were asked for and when they were read, in ms. */
  read: [from: number, to: number];
}

const parsed = new WeakMap<HostSet, RawElement[]>();

/** The elements of a set, parsed once: there may be ten thousands. */
export function elementsOf(set: HostSet): RawElement[] {
  const known = parsed.get(set);
  if (known !== undefined) return known;
  const elements = set.elements.flatMap(elementsIn);
  parsed.set(set, elements);
  return elements;
}

const FAMILIES: ReadonlySet<number> = new Set([NFPROTO.inet, NFPROTO.ipv4, NFPROTO.ipv6]);

/** The host's own rules for packets to itself; `ours` tells tables that are ours by name. */
export function hostTables(socket: Netlink, ruleset: Ruleset, ours: (table: string) => boolean): HostTable[] {
  return tablesOf(socket, ruleset, ({ family, table, hook }) => {
    return hook?.hook === HOOK.input && hook.type === "filter" && FAMILIES.has(family) && !ours(table);
  });
}

/** What the host's rules do with packets to itself from a priority on, before these are sent on to containers or given to programs: not copied, since it comes too late. */
export function laterTables(socket: Netlink, ruleset: Ruleset, ours: (table: string) => boolean, priority: number): HostTable[] {
  return tablesOf(socket, ruleset, ({ family, table, hook }) => {
    const isLater = hook?.hook === HOOK.prerouting ? hook.priority >= priority : hook?.hook === HOOK.input && hook.type === "nat";
    return isLater && FAMILIES.has(family) && !ours(table);
  });
}

function tablesOf(socket: Netlink, ruleset: Ruleset, isBase: (chain: RawChain) => boolean): HostTable[] {
  const bases = ruleset.chains.filter(isBase);
  const tables = new Map(bases.map((base) => [`${base.family} ${base.table}`, base]));
  return [...tables.values()].map(({ family, table }) => tableOf(socket, ruleset, family, table, bases));
}

function tableOf(socket: Netlink, ruleset: Ruleset, family: number, table: string, allBases: RawChain[]): HostTable {
  const isHere = (one: { family: number; table: string }): boolean => one.family === family && one.table === table;
  const rules = Map.groupBy(ruleset.rules.filter(isHere), ({ chain }) => chain);
  const known = new Map(ruleset.sets.filter(isHere).map((set) => [set.name, set]));
  const bases = allBases.filter(isHere);
  const found: HostTable = { family, table, bases, chains: new Map(), sets: new Map() };
  const open = bases.map(({ name }) => name);
  for (let chain = open.pop(); chain !== undefined; chain = open.pop()) {
    if (found.chains.has(chain)) continue;
    const own = rules.get(chain) ?? [];
    found.chains.set(chain, own);
    for (const rule of own) {
      for (const { name, data } of rule.expressions) {
        const parts = attributes(data);
        if (name === "immediate") open.push(...targets(parts.get(2)));
        const set = name === "lookup" || name === "dynset" ? known.get(textOf(parts.get(1))) : undefined;
        if (set === undefined || found.sets.has(set.name)) continue;
        const from = performance.now();
        const one: HostSet = { ...set, elements: readElements(socket, set), read: [from, performance.now()] };
        found.sets.set(set.name, one);
        if (leadsOn(set)) open.push(...elementsOf(one).flatMap((element) => targets(element.get(2))));
      }
    }
  }
  return found;
}

/** Whether a map's values are verdicts (`NFT_DATA_VERDICT`), which may jump to chains. */
function leadsOn({ attributes: own }: RawSet): boolean {
  return own.some(([type, value]) => type === 6 && beNumberOf(value) === 0xffffff00);
}

function targets(data: Uint8Array | undefined): string[] {
  const chain = verdictOf(data)?.chain ?? "";
  return chain === "" ? [] : [chain];
}
