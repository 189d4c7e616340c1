import { messageOf } from "../base/errors.ts";
import { type Netlink, type NetlinkAnswer, type NetlinkMessage, NLM_F, attribute, be32, nest, text } from "../linux/netlink.ts";
import { NFPROTO, NftBatch, sendBatch } from "../linux/nft.ts";
import type { RawRule } from "../linux/nft-read.ts";
import type { PortRule } from "./firewall.ts";
import { declareGate, declareMarked, gate, gatePorts, markPorts } from "./host-gate.ts";
import type { HostMarks } from "./host-marks.ts";
import { type JudgedRule, judgedRule, ruleAttributes, withProtocol } from "./host-rule.ts";
import type { HostSet, HostTable } from "./host-snapshot.ts";

/** After marks are set (mangle, -150; firewalld's, -140) and before dstnat (-100), in the order of the originals. */
export const FIRST_PRIORITY = -139;
const MOST_CHAINS = 36;
const ANONYMOUS = 1;
const OBJECT = 64;
/** No table of nft's users can be called so. */
const CLOSED = ".closed";
/** Attributes of a set that make it what it is (`NFTA_SET_*`): types, lengths, policy, description, time-outs, user data, expressions. */
const SENT = new Set([4, 5, 6, 7, 8, 9, 11, 12, 13, 17, 18]);

/** A table of ours in which ports are asked for. */
export interface Copy {
  family: number;
  table: string;
}

/** What cannot be judged, by chain or by rule. */
export interface Unclear {
  /** `ip filter`. */
  table: string;
  chain: string;
  /** A rule's number as `nft -a` shows it; undefined where nothing of the host's rules can be asked. */
  handle?: number;
  why: string;
  /** The place of the expression in the rule. */
  at: number;
  /** Only for ports whose packets may get marks of that kind later. */
  kind?: number;
}

/** What stands in the kernel after {@link writeCopies}. */
export interface Copies {
  tables: Copy[];
  /** The table whose ports are closed to the outside, whoever asks; not there while there are none. */
  closed: Copy;
  hasClosed: boolean;
  unclear: Unclear[];
  /** The kinds of marks that packets to a port may get later and that the rules ask for. */
  kindsOf(port: PortRule): readonly number[];
  /** Why nothing can be judged, so that all stands closed. */
  shut?: string;
}

/** What to write: the ports that the host's rules decide about, and those that are closed to the outside. */
export interface GateModel {
  asked: PortRule[];
  closed: PortRule[];
}

/** The name of a family as nft's users know it. */
export const FAMILY_NAMES: Readonly<Record<number, string>> = { 1: "inet", 2: "ip", 10: "ip6" };

/** The name of the copy of a table. */
export function copyName(own: string, table: string): string {
  return `${own}.${table}`;
}

interface Doubts {
  sets: Set<string>;
  rules: Map<string, string>;
  reject: boolean;
}

/**
 * Writes copies of the host's tables beside our own, in one atomic batch together with the removal of `stale` ones. What the kernel does not take
 * there is asked again without: a set, a rule, `reject`, and at last all of it, which leaves the ports closed.
 */
export function writeCopies(
  socket: Netlink,
  own: string,
  { tables, marks }: { tables: HostTable[]; marks: HostMarks },
  stale: Copy[],
  model: GateModel,
): Copies {
  const closed = { family: NFPROTO.inet, table: copyName(own, CLOSED) };
  const doubts: Doubts = { sets: new Set(), rules: new Map(), reject: true };
  let why = "";
  for (let tries = 0; tries < 8; tries++) {
    const plan = new Plan(own, doubts);
    for (const copy of stale) plan.drop(copy);
    plan.close(closed, model.closed);
    plan.copy(tables, marks, model);
    const answers = answersTo(socket, plan.messages);
    if (typeof answers === "string") {
      why = answers;
      break;
    }
    const failed = answers.flatMap((answer, index) => (answer.errno === 0 ? [] : [{ answer, about: plan.about.get(index) }]));
    if (failed.length === 0)
      return {
        tables: plan.copies,
        closed,
        hasClosed: model.closed.length > 0,
        unclear: plan.unclear,
        kindsOf: (port) => marks.kindsOf(port),
      };
    why = failed[0]?.answer.text ?? "";
    if (!learn(doubts, failed)) break;
  }
  const shut = `the kernel does not take a copy of the host's rules${why === "" ? "" : ` (${why})`}`;
  return shutAll(socket, own, stale, { asked: [], closed: [...model.asked, ...model.closed] }, shut);
}

/** Makes the table of ports that nobody outside reaches. */
export function closedTable({ family, table }: Copy, ports: readonly PortRule[]): NftBatch {
  const batch = new NftBatch(table, family);
  batch.replaceTable();
  declareGate(batch, family);
  batch.chain({ name: "closed" });
  gate(batch, family, { body: "closed", priority: FIRST_PRIORITY, policy: "drop", shut: true });
  gatePorts(batch, family, "add", ports);
  return batch;
}

/** What the kernel says to a batch, or why it could not be sent: rules beyond all measure are larger than its buffers. */
function answersTo(socket: Netlink, messages: readonly NetlinkMessage[]): NetlinkAnswer[] | string {
  try {
    return sendBatch(socket, messages);
  } catch (error) {
    return messageOf(error);
  }
}

/** Closes all ports to the outside. */
export function shutAll(socket: Netlink, own: string, stale: Copy[], model: GateModel, shut: string): Copies {
  const closed = { family: NFPROTO.inet, table: copyName(own, CLOSED) };
  const plan = new Plan(own, { sets: new Set(), rules: new Map(), reject: false });
  for (const copy of stale) plan.drop(copy);
  plan.close(closed, [...model.asked, ...model.closed]);
  const failed = sendBatch(socket, plan.messages).find(({ errno }) => errno !== 0);
  if (failed !== undefined)
    throw new Error(`Cannot close published ports: the kernel refuses the table "${closed.table}" (${failed.errno})`);
  return { tables: [], closed, hasClosed: model.asked.length + model.closed.length > 0, unclear: [], kindsOf: () => [], shut };
}

/** Takes from the kernel's answers what it will not have; false where nothing is left to try. */
function learn(doubts: Doubts, failed: { answer: { errno: number; text: string }; about: About | undefined }[]): boolean {
  const sets = failed.flatMap(({ about }) => (about?.set === undefined ? [] : [about.set]));
  for (const set of sets) doubts.sets.add(set);
  if (sets.length > 0) return true;
  const rules = failed.flatMap(({ about, answer }) => (about?.rule === undefined ? [] : [{ rule: about.rule, why: answer.text }]));
  for (const { rule, why } of rules) doubts.rules.set(rule, why === "" ? "the kernel does not take it there" : why);
  if (rules.length > 0) return true;
  if (!doubts.reject) return false;
  doubts.reject = false;
  return true;
}

/** Whose message it is. */
interface About {
  set?: string;
  rule?: string;
}

/** The messages of one batch, and what each is about. */
class Plan {
  readonly messages: NetlinkMessage[] = [];
  readonly about = new Map<number, About>();
  readonly copies: Copy[] = [];
  readonly unclear: Unclear[] = [];

  constructor(
    readonly own: string,
    readonly doubts: Doubts,
  ) {}

  /** Removes a table, whether it is there or not. */
  drop({ family, table }: Copy): void {
    const batch = new NftBatch(table, family);
    batch.addTable();
    batch.deleteTable();
    this.#take(batch);
  }

  close(closed: Copy, ports: PortRule[]): void {
    if (ports.length > 0) this.#take(closedTable(closed, ports));
  }

  copy(tables: HostTable[], marks: HostMarks, { asked }: GateModel): void {
    const bases = tables.flatMap((host) => host.bases.map((base) => ({ host, base })));
    const sorted = bases.toSorted((one, other) => (one.base.hook?.priority ?? 0) - (other.base.hook?.priority ?? 0));
    const places = new Map(sorted.map(({ base }, index) => [base, FIRST_PRIORITY + 1 + Math.min(index, MOST_CHAINS)]));
    for (const host of tables) {
      const table = copyName(this.own, host.table);
      const batch = new NftBatch(table, host.family);
      batch.replaceTable();
      for (const name of host.chains.keys()) batch.chain({ name });
      declareGate(batch, host.family);
      declareMarked(batch, marks.kinds);
      this.#take(batch);
      this.#sets(host, table);
      this.#rules(host, table, marks);
      const gates = new NftBatch(table, host.family);
      for (const base of host.bases) {
        gate(gates, host.family, { body: base.name, priority: places.get(base) ?? 0, policy: base.hook?.policy ?? "drop" });
      }
      gatePorts(gates, host.family, "add", asked);
      markPorts(gates, asked, (port) => marks.kindsOf(port));
      this.#take(gates);
      this.copies.push({ family: host.family, table });
    }
  }

  #sets(host: HostTable, table: string): void {
    let id = 1000;
    for (const set of host.sets.values()) {
      if ((set.flags & OBJECT) !== 0) this.doubts.sets.add(keyOfSet(set));
      if (this.doubts.sets.has(keyOfSet(set))) continue;
      const batch = new NftBatch(table, host.family);
      const same = set.attributes.filter(([type]) => SENT.has(type)).map(([type, value]) => attribute(type, value));
      batch.raw("newSet", NLM_F.create, text(2, set.name), be32(3, set.flags & ~ANONYMOUS), be32(10, ++id), ...same);
      for (const list of set.elements.filter(({ length }) => length > 0))
        batch.raw("newElement", NLM_F.create, text(2, set.name), nest(3, list));
      this.#take(batch, { set: keyOfSet(set) });
    }
  }

  #rules(host: HostTable, table: string, marks: HostMarks): void {
    const unclearSets = new Set([...host.sets.values()].filter((set) => this.doubts.sets.has(keyOfSet(set))).map(({ name }) => name));
    for (const rule of [...host.chains.values()].flat()) {
      const refused = this.doubts.rules.get(keyOfRule(rule));
      const judged = judgedRule(rule, unclearSets, { reject: this.doubts.reject, refused });
      const doubt = marks.doubt(rule);
      // A rule that ends before it comes to the mark drops what comes so far.
      if (doubt !== undefined && doubt.at < (judged.at ?? rule.expressions.length) && judged.expressions.length > 0)
        this.#rule(table, rule, withProtocol(rule, marks.guard(doubt, rule)), doubt.kind);
      this.#rule(table, rule, judged);
    }
  }

  #rule(copy: string, rule: RawRule, judged: JudgedRule, kind?: number): void {
    const { family, table, chain, handle } = rule;
    const { unclear: why, at = 0 } = judged;
    if (why !== undefined)
      this.unclear.push({ table: `${FAMILY_NAMES[family]} ${table}`, chain, handle, why, at, ...(kind !== undefined && { kind }) });
    if (judged.expressions.length === 0) return;
    const batch = new NftBatch(copy, family);
    batch.raw("newRule", NLM_F.create | NLM_F.append, ...ruleAttributes(chain, judged));
    this.#take(batch, { rule: keyOfRule(rule) });
  }

  #take({ messages }: NftBatch, about?: About): void {
    for (const message of messages) {
      if (about !== undefined) this.about.set(this.messages.length, about);
      this.messages.push(message);
    }
  }
}

function keyOfRule({ family, table, handle }: RawRule): string {
  return `${family} ${table} ${handle}`;
}

function keyOfSet({ family, table, name }: HostSet): string {
  return `${family} ${table} ${name}`;
}
