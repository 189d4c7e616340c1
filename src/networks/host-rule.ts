import { attribute, attributes, be32, beNumberOf, eachAttribute, nest, numberOf, text, textOf, u8 } from "../linux/netlink.ts";
import { NFPROTO } from "../linux/nft.ts";
import type { RawExpression, RawRule } from "../linux/nft-read.ts";

/** A rule as it is asked before a packet is sent on to a container. */
export interface JudgedRule {
  expressions: RawExpression[];
  /** What nothing can answer there; packets that come so far in the rule are dropped. */
  unclear?: string;
  /** The place of the expression that nothing can answer. */
  at?: number;
  /** Protocol that old matches are bound to, `NFTA_RULE_COMPAT`. */
  protocol?: { number: number; inverted: boolean };
}

/** Keys of `meta` (linux/netfilter/nf_tables.h) that hold only once the packet has met its socket or its route. */
const META_LATER: Readonly<Record<number, string>> = { 10: "meta skuid", 11: "meta skgid", 13: "meta rtclassid", 23: "meta cgroup" };
/** Expressions that mean nothing before the destination is known, or that change where the packet goes. */
const LATER = new Set(["socket", "rt", "synproxy", "tproxy", "nat", "masq", "redir", "flow_offload", "fwd"]);
const XT_LATER = new Set(["owner", "socket", "cgroup", "realm", "policy"]);
/** What only counts or notes: not needed for the answer. */
const ASIDE = new Set(["counter", "notrack", "last", "dup"]);
/** What ends a rule, or changes where packets go. */
export const DECIDING: ReadonlySet<string> = new Set(["immediate", "reject", "target", "lookup", "dynset", "queue", ...LATER]);
/** Objects (`NFT_OBJECT_*`) that do not decide: counters, helpers, time-outs and expectations of connections, security marks. */
const OBJECTS_ASIDE = new Set([1, 3, 7, 8, 9]);
const FIB_OIF = 16;
const DYNSET_TIMEOUT = 6;

/** How a rule can be asked before dstnat; `unclearSets` are sets that cannot be copied, `refused` says why the kernel does not take the rule. */
export function judgedRule(
  rule: RawRule,
  unclearSets: ReadonlySet<string>,
  options: { reject: boolean; refused?: string | undefined },
): JudgedRule {
  if (options.refused !== undefined) return { expressions: [DROP], unclear: options.refused, at: 0 };
  const expressions: RawExpression[] = [];
  for (const [index, raw] of rule.expressions.entries()) {
    if (ASIDE.has(raw.name)) continue;
    const unclear = whyUnclear(raw, unclearSets);
    if (unclear === "") continue;
    if (unclear !== undefined && !rule.expressions.slice(index).some(({ name }) => DECIDING.has(name))) return { expressions: [] };
    if (unclear !== undefined) return withProtocol(rule, { expressions: [...expressions, DROP], unclear, at: index });
    expressions.push(...translated(raw, rule.family, options));
  }
  return withProtocol(rule, { expressions });
}

/** An expression that drops. */
export const DROP: RawExpression = { name: "immediate", data: Buffer.concat([be32(1, 0), nest(2, nest(2, be32(1, 0)))]) };

/** Undefined for what can be asked, empty for what may be left out, else what is in the way. */
function whyUnclear({ name, data }: RawExpression, unclearSets: ReadonlySet<string>): string | undefined {
  const found = attributes(data);
  if (name === "meta") return META_LATER[beNumberOf(found.get(2))];
  if (name === "fib") return (beNumberOf(found.get(3)) & FIB_OIF) !== 0 ? "fib oif" : undefined;
  if (name === "match") return XT_LATER.has(textOf(found.get(1))) ? `xt match ${textOf(found.get(1))}` : undefined;
  if (name === "objref") return OBJECTS_ASIDE.has(beNumberOf(found.get(1))) ? "" : "a named object with a state of its own";
  if (name === "quota") return "quota";
  if (name === "lookup" || name === "dynset") return unclearSets.has(textOf(found.get(1))) ? `set ${textOf(found.get(1))}` : undefined;
  return LATER.has(name) ? name : undefined;
}

/** ICMP codes by the numbers of iptables' REJECT (linux/netfilter_ipv4/ipt_REJECT.h), which nf_tables wants to be told. */
const REJECT4 = [0, 1, 2, 3, undefined, 9, 10, "reset", 13] as const;
const REJECT6 = [0, 1, 2, 3, 4, undefined, "reset", 5, 6] as const;

/** Iptables' REJECT as nf_tables' own, which is allowed before routing; where the kernel knows none there, packets are dropped. */
function translated(raw: RawExpression, family: number, { reject }: { reject: boolean }): RawExpression[] {
  if (raw.name === "dynset") return [withoutTimeout(raw)];
  const parts = attributes(raw.data);
  const isTarget = raw.name === "target" && textOf(parts.get(1)) === "REJECT";
  if (raw.name !== "reject" && !isTarget) return [raw];
  if (!reject) return [DROP];
  if (!isTarget) return [raw];
  const way = (family === NFPROTO.ipv4 ? REJECT4 : REJECT6)[numberOf(parts.get(3)?.subarray(0, 4))];
  if (way === undefined) return [DROP];
  return [{ name: "reject", data: Buffer.concat([be32(1, way === "reset" ? 1 : 0), u8(2, way === "reset" ? 0 : way)]) }];
}

/** The kernel tells a time-out of 0 for elements without one, and refuses it. */
function withoutTimeout({ name, data }: RawExpression): RawExpression {
  const kept = eachAttribute(data).filter(([type, value]) => type !== DYNSET_TIMEOUT || value.some((byte) => byte !== 0));
  return { name, data: Buffer.concat(kept.map(([type, value]) => attribute(type, value))) };
}

/** Old matches check which protocol the rule is for: it stands in the expressions before them. */
export function withProtocol(rule: RawRule, judged: JudgedRule): JudgedRule {
  if (!judged.expressions.some(({ name }) => name === "match" || name === "target")) return judged;
  let asked = false;
  for (const { name, data } of rule.expressions) {
    const found = attributes(data);
    if (name === "meta") asked = beNumberOf(found.get(2)) === 16;
    else if (name === "payload")
      asked = beNumberOf(found.get(2)) === 1 && beNumberOf(found.get(3)) === (rule.family === NFPROTO.ipv4 ? 9 : 6);
    else if (name === "cmp" && asked) {
      const value = attributes(found.get(3) ?? new Uint8Array()).get(1);
      return { ...judged, protocol: { number: value?.[0] ?? 0, inverted: beNumberOf(found.get(2)) === 1 } };
    }
  }
  return judged;
}

/** The attributes of a rule for the kernel, but for the table's. */
export function ruleAttributes(chain: string, { expressions, protocol }: JudgedRule): Uint8Array[] {
  const list = expressions.map(({ name, data }) => nest(1, text(1, name), nest(2, data)));
  const parts = [text(2, chain), nest(4, ...list)];
  if (protocol !== undefined) parts.push(nest(5, be32(1, protocol.number), be32(2, protocol.inverted ? 2 : 0)));
  return parts;
}
