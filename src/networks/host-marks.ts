import { attributes, beNumberOf, eachAttribute, numberOf, textOf } from "../linux/netlink.ts";
import { type Expression, load, lookup, verdict } from "../linux/nft.ts";
import { type RawExpression, type RawRule, verdictOf } from "../linux/nft-read.ts";
import { type PortRule, PROTOCOL } from "./firewall.ts";
import { familiesOf, markedSet } from "./host-gate.ts";
import { type Asking, type Knock, ask, looked } from "./host-match.ts";
import { DECIDING, type JudgedRule } from "./host-rule.ts";
import { type HostTable, elementsOf } from "./host-snapshot.ts";

/** Bits of a packet's mark and of its connection's. */
interface Marks {
  packet: number;
  connection: number;
}

/** A rule that asks for marks which are set only later: it cannot be asked about ports whose packets may get them. */
export interface MarkDoubt {
  /** Of the expression that asks. */
  at: number;
  /** Index of its bits among those of all such rules. */
  kind: number;
  why: string;
}

const ALL = 0xffffffff;
const NONE: Marks = { packet: 0, connection: 0 };
const MARK = 3;
const META_SOURCE = 3;
const CT_SOURCE = 4;
/** Targets of iptables that change marks in ways that are not looked into. */
const XT_SETTERS = new Set(["HMARK", "TPROXY", "NFQUEUE", "SET"]);
/** What of a rule decides whether it goes on, and changes nothing when it is asked twice. */
const PURE = new Set(["cmp", "payload", "bitwise", "byteorder", "range", "fib", "meta", "ct", "immediate", "lookup"]);
const PURE_MATCHES = new Set(["tcp", "udp", "sctp", "multiport", "conntrack", "state", "addrtype", "mark", "connmark"]);
const IS_CHANGING = 0x10 | 0x20;

/**
 * Marks that the host's rules set only after our copies were asked: in nat's chains and whatever else comes later. A copied rule that asks for such a bit is
 * preceded by a guard, which drops what is sent to ports whose packets may get it.
 */
export class HostMarks {
  readonly #later: readonly HostTable[];
  /** Set by rules that cannot be read. */
  readonly #unread: string;
  readonly #set: Marks;
  /** Groups of bits that rules ask for and that are set later. */
  readonly #kinds: Marks[] = [];
  readonly #setters: { marks: Marks; where: string }[];

  constructor(tables: readonly HostTable[], later: readonly HostTable[], unread = "") {
    this.#unread = unread;
    this.#setters = later.flatMap((table) => rulesOf(table).map((rule) => ({ marks: setBy(rule), where: `${rule.table} ${rule.chain}` })));
    const set = this.#setters.reduce((sum, { marks }) => both(sum, marks), NONE);
    this.#set = unread === "" ? set : { packet: ALL, connection: ALL };
    for (const { marks } of tables.flatMap(rulesOf).flatMap((rule) => testedBy(rule) ?? []))
      if (meet(marks, this.#set) && this.#kindOf(marks) < 0) this.#kinds.push(marks);
    this.#later = later.map((table) => onlyMarking(table, this.#kinds.reduce(both, NONE))).filter(({ chains }) => chains.size > 0);
  }

  /** The rules that decide which packets get such marks: where these are the same, so is every answer. */
  get later(): readonly HostTable[] {
    return this.#later;
  }

  /** How many groups of bits there are that rules ask for too early. */
  get kinds(): number {
    return this.#kinds.length;
  }

  /** Which of these groups packets to a port, of one family or the other, may get marks of. */
  kindsOf({ protocol, hostPort }: Pick<PortRule, "protocol" | "hostPort">): number[] {
    if (this.#kinds.length === 0) return [];
    const got = this.#unread === "" ? this.#reached(PROTOCOL[protocol], hostPort) : this.#set;
    return this.#kinds.flatMap((bits, kind) => (meet(bits, got) ? [kind] : []));
  }

  /** Undefined for a rule whose answer is the same before and after. */
  doubt(rule: RawRule): MarkDoubt | undefined {
    const tested = testedBy(rule);
    if (tested === undefined || !meet(tested.marks, this.#set)) return undefined;
    const where = this.#unread || (this.#setters.find(({ marks }) => meet(marks, tested.marks))?.where ?? "");
    return { at: tested.at, kind: this.#kindOf(tested.marks), why: `it asks for a mark that "${where}" sets only later` };
  }

  /** What comes before a rule with a doubt: its conditions up to there, and a drop for the ports that are concerned. */
  guard({ at, kind, why }: MarkDoubt, rule: RawRule): JudgedRule {
    const before = rule.expressions.slice(0, at).filter(isPure);
    const port = [load.protocol(), load.destinationPort(1), lookup(markedSet(kind)), verdict("drop")].map(toRaw);
    return { expressions: [...before, ...port], unclear: why, at };
  }

  #kindOf({ packet, connection }: Marks): number {
    return this.#kinds.findIndex((kind) => kind.packet === packet && kind.connection === connection);
  }

  #reached(protocol: number, port: number): Marks {
    const knocks = this.#later.flatMap((table) =>
      familiesOf(table.family).map((family) => reached(table, { family, protocol, port, address: undefined })),
    );
    return knocks.reduce(both, NONE);
  }
}

/** Whether any rule asks for a mark. */
export function asksForMarks(tables: readonly HostTable[]): boolean {
  return tables.some((table) => rulesOf(table).some((rule) => testedBy(rule) !== undefined));
}

function rulesOf({ chains }: HostTable): RawRule[] {
  return [...chains.values()].flat();
}

function both(one: Marks, other: Marks): Marks {
  return { packet: one.packet | other.packet, connection: one.connection | other.connection };
}

function meet(one: Marks, other: Marks): boolean {
  return (one.packet & other.packet) !== 0 || (one.connection & other.connection) !== 0;
}

function toRaw(expression: Expression): RawExpression {
  const parts = attributes(eachAttribute(expression)[0]?.[1] ?? new Uint8Array());
  return { name: textOf(parts.get(1)), data: parts.get(2) ?? new Uint8Array() };
}

function isPure({ name, data }: RawExpression): boolean {
  return PURE.has(name) ? !isSetter({ name, data }) : name === "match" && PURE_MATCHES.has(textOf(attributes(data).get(1)));
}

/** Whether an expression changes something of the packet or its connection. */
function isSetter({ name, data }: RawExpression): boolean {
  return (name === "meta" && attributes(data).has(META_SOURCE)) || (name === "ct" && attributes(data).has(CT_SOURCE));
}

/** The marks that a rule asks for before it decides or changes anything. */
function testedBy({ expressions }: RawRule): { at: number; marks: Marks } | undefined {
  const asked = expressions.map((_, index) => askedAt(expressions, index));
  const at = asked.findIndex((marks) => marks !== undefined);
  if (at < 0 || !expressions.slice(at).some((one) => DECIDING.has(one.name) || isSetter(one))) return undefined;
  return { at, marks: asked.reduce<Marks>((sum, marks) => both(sum, marks ?? NONE), NONE) };
}

function askedAt(expressions: readonly RawExpression[], index: number): Marks | undefined {
  const one = expressions[index];
  const found = attributes(one?.data ?? new Uint8Array());
  if (one?.name === "meta" || one?.name === "ct") {
    if (!found.has(1) || beNumberOf(found.get(2)) !== MARK) return undefined;
    const bits = maskAfter(found, expressions[index + 1]);
    return one.name === "meta" ? { packet: bits, connection: 0 } : { packet: 0, connection: bits };
  }
  if (one?.name === "match") {
    const bits = numberOf(found.get(3)?.subarray(4, 8));
    return { mark: { packet: bits, connection: 0 }, connmark: { packet: 0, connection: bits } }[textOf(found.get(1))];
  }
  return one?.name === "target" && textOf(found.get(1)) === "CONNMARK" ? { packet: ALL, connection: ALL } : undefined;
}

/** The bits of a mark that was just loaded which are looked at. */
function maskAfter(loaded: Map<number, Uint8Array>, next: RawExpression | undefined): number {
  const found = attributes(next?.data ?? new Uint8Array());
  const isMasked = next?.name === "bitwise" && beNumberOf(found.get(1)) === beNumberOf(loaded.get(1)) && found.has(4);
  return isMasked ? numberOf(attributes(found.get(4) ?? new Uint8Array()).get(1)) : ALL;
}

/** The bits that a rule may change. */
function setBy({ expressions }: RawRule): Marks {
  return expressions.map((_, index) => setAt(expressions, index)).reduce(both, NONE);
}

function setAt(expressions: readonly RawExpression[], index: number): Marks {
  const one = expressions[index];
  if (one === undefined) return NONE;
  const found = attributes(one.data);
  if (one.name === "queue") return { packet: ALL, connection: ALL };
  if (isSetter(one) && beNumberOf(found.get(2)) === MARK) {
    const bits = changedBits(expressions, index, found.get(one.name === "meta" ? META_SOURCE : CT_SOURCE));
    return one.name === "meta" ? { packet: bits, connection: 0 } : { packet: 0, connection: bits };
  }
  return one.name === "target" ? setByTarget(textOf(found.get(1)), beNumberOf(found.get(2)), found.get(3) ?? new Uint8Array()) : NONE;
}

/** `meta mark set meta mark or 0x1` is a load, a mask and the change; all others may change every bit. */
function changedBits(expressions: readonly RawExpression[], index: number, source: Uint8Array | undefined): number {
  const [loading, masking, setting] = expressions.slice(Math.max(0, index - 2), index + 1);
  if (index < 2 || loading?.name !== setting?.name || masking?.name !== "bitwise") return ALL;
  const loaded = attributes(loading?.data ?? new Uint8Array());
  const masked = attributes(masking.data);
  const isSame = beNumberOf(masked.get(2)) === beNumberOf(source) && beNumberOf(masked.get(1)) === beNumberOf(loaded.get(1));
  if (!isSame || beNumberOf(loaded.get(2)) !== MARK || !loaded.has(1) || !masked.has(4)) return ALL;
  const [mask, flip] = [4, 5].map((type) => numberOf(attributes(masked.get(type) ?? new Uint8Array()).get(1)));
  return ~(mask ?? 0) | (flip ?? 0);
}

/** Targets of iptables (linux/netfilter/xt_mark.h, xt_connmark.h). */
function setByTarget(name: string, revision: number, info: Uint8Array): Marks {
  const [value, mask, mode] = [0, 4, 12].map((at) => numberOf(info.subarray(at, at + 4)));
  if (name === "MARK") return { packet: revision === 2 ? (value ?? 0) | (mask ?? 0) : ALL, connection: 0 };
  if (name === "CONNMARK" && revision >= 1 && ((mode ?? 0) & 255) === 0) return { packet: 0, connection: (value ?? 0) | (mask ?? 0) };
  return name === "CONNMARK" || XT_SETTERS.has(name) ? { packet: ALL, connection: ALL } : NONE;
}

/** A table without the rules that neither set such a mark nor lead to one that does: there may be ten thousands. */
function onlyMarking(table: HostTable, wanted: Marks): HostTable {
  const rules = rulesOf(table).map((rule) => ({ rule, leads: leadsTo(rule, table), marks: meet(setBy(rule), wanted) }));
  const chains = new Set<string>();
  for (let size = -1; size !== chains.size;) {
    size = chains.size;
    for (const { rule, leads, marks } of rules) if (marks || leads.some((chain) => chains.has(chain))) chains.add(rule.chain);
  }
  const kept = rules.filter(({ leads, marks }) => marks || leads.some((chain) => chains.has(chain))).map(({ rule }) => rule);
  const asked = new Set(kept.flatMap(({ expressions }) => expressions.map(({ data }) => textOf(attributes(data).get(1)))));
  const sets = new Map([...table.sets].filter(([name]) => asked.has(name)));
  return { ...table, chains: Map.groupBy(kept, ({ chain }) => chain), sets };
}

function leadsTo({ expressions }: RawRule, { sets }: HostTable): string[] {
  return expressions.flatMap(({ name, data }) => {
    const found = attributes(data);
    if (name === "immediate") return chainOf(found.get(2));
    if (name !== "lookup" || !found.has(3)) return [];
    const set = sets.get(textOf(found.get(1)));
    return (set === undefined ? [] : elementsOf(set)).flatMap((element) => chainOf(element.get(2)));
  });
}

/** The bits that packets to a port may get on their way through a table's chains. */
function reached(table: HostTable, knock: Knock): Marks {
  const seen = new Set<string>();
  const open = table.bases.map(({ name }) => name);
  let marks = NONE;
  for (let chain = open.pop(); chain !== undefined; chain = open.pop()) {
    if (seen.has(chain)) continue;
    seen.add(chain);
    for (const rule of table.chains.get(chain) ?? []) marks = both(marks, passed(rule, table, knock, open));
  }
  return marks;
}

/** Follows a rule as far as packets to the port may come; the chains that it leads to go into `open`. */
function passed({ expressions }: RawRule, { sets }: HostTable, knock: Knock, open: string[]): Marks {
  const asking: Asking = { knock, sets, registers: new Map(), conditions: [] };
  let marks = NONE;
  for (const [index, one] of expressions.entries()) {
    const found = attributes(one.data);
    marks = both(marks, setAt(expressions, index));
    if (one.name === "lookup" && beNumberOf(found.get(3)) === 0 && found.has(3)) {
      const candidates = isSteady(one, asking) ? looked(found, asking).elements : allElements(found, asking);
      open.push(...candidates.flatMap((element) => chainOf(element.get(2))));
      return marks;
    }
    if (one.name === "immediate") open.push(...chainOf(found.get(2)));
    if (isSteady(one, asking) && ask(one, asking) === "no") return marks;
  }
  return marks;
}

function chainOf(data: Uint8Array | undefined): string[] {
  const chain = verdictOf(data)?.chain ?? "";
  return chain === "" ? [] : [chain];
}

function allElements(found: Map<number, Uint8Array>, asking: Asking): Map<number, Uint8Array>[] {
  return looked(found, { ...asking, registers: new Map() }).elements;
}

/** Whether an answer holds for all packets of a connection, and for longer than the moment: states and flags of packets and what packets fill do not. */
function isSteady({ name, data }: RawExpression, { sets, registers }: Asking): boolean {
  const found = attributes(data);
  if (name === "ct" || (name === "payload" && beNumberOf(found.get(2)) === 2 && beNumberOf(found.get(3)) > 2)) {
    if (found.has(1)) registers.delete(wordOf(beNumberOf(found.get(1))));
    return false;
  }
  if (name === "match") return textOf(found.get(1)) === "multiport" || textOf(found.get(1)) === "addrtype";
  return name !== "lookup" || ((sets.get(textOf(found.get(1)))?.flags ?? 0) & IS_CHANGING) === 0;
}

function wordOf(register: number): number {
  return register >= 8 ? register - 8 : (register - 1) * 4;
}
