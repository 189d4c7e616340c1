import { type Netlink, NLM_F, attribute, be32, be64, nest, text } from "../linux/netlink.ts";
import { type Expression, NFPROTO, NftBatch, compare, load, native32, sendBatch, verdict } from "../linux/nft.ts";
import { type RawChain, type RawRule, commentAttribute, readRuleset } from "../linux/nft-read.ts";
import { BRIDGE_GROUP } from "./host-gate.ts";
import type { ForeignDrop } from "./jobs.ts";

/** A chain whose owner keeps it for rules of others. */
interface Place {
  family: number;
  table: string;
  chain: string;
}

const FAMILIES: Readonly<Record<string, number>> = { ip: NFPROTO.ipv4, ip6: NFPROTO.ipv6, inet: NFPROTO.inet };
/** Docker's, ufw's for IPv4 and for IPv6. */
const CHAINS = ["DOCKER-USER", "ufw-user-forward", "ufw6-user-forward"];
const MATCH_SOURCE = 1;
const MATCH_DESTINATION = 4;

/** What our rules in tables of others bear as their comment. */
function markOf(own: string): string {
  return `${own}: containers of Lighter`;
}

/**
 * Lets packets of our bridges through foreign chains that would drop them, where their owner provides a place for such rules; two marked rules serve
 * all bridges. Answers the chains for which there is no place, or whose owner lets nobody in.
 */
export function enterPlaces(socket: Netlink, own: string, drops: readonly ForeignDrop[]): ForeignDrop[] {
  if (drops.length === 0) return [];
  const { chains, rules } = readRuleset(socket);
  return drops.filter((drop) => {
    const place = placeFor(drop, chains);
    return place === undefined || !enter(socket, own, place, rules);
  });
}

/** Takes our rules out of tables of others again. */
export function leavePlaces(socket: Netlink, own: string): void {
  const { rules } = readRuleset(socket);
  for (const rule of rules.filter(({ comment }) => comment === markOf(own))) {
    const batch = new NftBatch(rule.table, rule.family);
    remove(batch, rule);
    // What its owner has removed meanwhile is gone.
    sendBatch(socket, batch.messages);
  }
}

function placeFor({ chain }: ForeignDrop, chains: readonly RawChain[]): Place | undefined {
  const [word = "", table = "", name = ""] = chain.split(" ");
  const family = FAMILIES[word];
  if (family === undefined) return undefined;
  // firewalld has none in its rules but a zone, which would open the host itself to containers: decision 0043.
  if (table === "firewalld" && family === NFPROTO.inet) return { family, table, chain: name };
  const found = CHAINS.find((one) => chains.some((other) => other.family === family && other.table === table && other.name === one));
  return found === undefined ? undefined : { family, table, chain: found };
}

function enter(socket: Netlink, own: string, { family, table, chain }: Place, rules: readonly RawRule[]): boolean {
  const isHere = (rule: RawRule): boolean => rule.family === family && rule.table === table && rule.chain === chain;
  const ours = rules.filter((rule) => isHere(rule) && rule.comment === markOf(own));
  if (ours.length === 2) return true;
  const batch = new NftBatch(table, family);
  for (const rule of ours) remove(batch, rule);
  for (const way of ["in", "out"] as const) {
    const parts = [...(family === NFPROTO.inet ? group(way) : oldGroup(way)), counter(), verdict("accept")];
    batch.raw("newRule", NLM_F.create, text(2, chain), nest(4, ...parts), commentAttribute(markOf(own)));
  }
  return sendBatch(socket, batch.messages).every(({ errno }) => errno === 0);
}

function remove(batch: NftBatch, { chain, handle }: RawRule): void {
  batch.raw("delRule", 0, text(2, chain), be64(3, handle));
}

function group(way: "in" | "out"): Expression[] {
  return [way === "in" ? load.iifgroup() : load.oifgroup(), compare(native32(BRIDGE_GROUP))];
}

/** In the form that iptables knows, so that it can still list its table (linux/netfilter/xt_devgroup.h). */
function oldGroup(way: "in" | "out"): Expression[] {
  const info = new DataView(new ArrayBuffer(24));
  info.setUint32(0, way === "in" ? MATCH_SOURCE : MATCH_DESTINATION, true);
  info.setUint32(way === "in" ? 4 : 12, BRIDGE_GROUP, true);
  info.setUint32(way === "in" ? 8 : 16, 0xffffffff, true);
  return [nest(1, text(1, "match"), nest(2, text(1, "devgroup"), be32(2, 0), attribute(3, new Uint8Array(info.buffer))))];
}

function counter(): Expression {
  return nest(1, text(1, "counter"), nest(2));
}
