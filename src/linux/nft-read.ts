import { type Netlink, NLM_F, attribute, attributes, beNumberOf, eachAttribute, netlinkError, text, textOf } from "./netlink.ts";

/** Reads whole tables of nf_tables as the kernel keeps them: expressions and sets stay raw, so that they can be written again elsewhere. */
const SUBSYSTEM = 10;
const GET = { table: 1, chain: 4, rule: 7, set: 10, element: 13, generation: 16 } as const;
const USERDATA_COMMENT = 0;
/** `NFT_TABLE_F_DORMANT`: the kernel calls none of the table's chains. */
const DORMANT = 1;

/** One expression of a rule: its name and its attributes as they are. */
export interface RawExpression {
  name: string;
  data: Uint8Array;
}

/** A chain; `hook` only where the kernel calls it. */
export interface RawChain {
  /** The number of the protocol family, `NFPROTO`. */
  family: number;
  table: string;
  name: string;
  hook?: { hook: number; priority: number; policy: "accept" | "drop"; type: string };
}

/** A rule of a chain, in the chain's order. */
export interface RawRule {
  family: number;
  table: string;
  chain: string;
  /** The number that `nft -a` shows. */
  handle: number;
  expressions: RawExpression[];
  comment: string;
}

/** A set or map without its elements; `attributes` are those of the kernel's answer. */
export interface RawSet {
  family: number;
  table: string;
  name: string;
  flags: number;
  attributes: [type: number, value: Uint8Array][];
}

/** An element of a set: attributes by `NFTA_SET_ELEM_*`. */
export type RawElement = Map<number, Uint8Array>;

/** All tables of the network namespace at one moment. */
export interface Ruleset {
  chains: RawChain[];
  rules: RawRule[];
  sets: RawSet[];
}

/** Reads everything; when somebody changes rules meanwhile, again. */
export function readRuleset(socket: Netlink): Ruleset {
  for (let tries = 0; ; tries++) {
    const before = rulesetGeneration(socket);
    const dormant = dormantTables(socket);
    const chains = dump(socket, GET.chain).map((body) => {
      const chain = toChain(body);
      if (dormant.has(`${chain.family} ${chain.table}`)) delete chain.hook;
      return chain;
    });
    const rules = dump(socket, GET.rule).map(toRule);
    const sets = dump(socket, GET.set).map(toSet);
    if (rulesetGeneration(socket) === before || tries >= 5) return { chains, rules, sets };
  }
}

/** A set's elements as lists of raw nested attributes, one for each message of the kernel: fit to be sent again. */
export function readElements(socket: Netlink, { family, table, name }: Pick<RawSet, "family" | "table" | "name">): Uint8Array[] {
  return dump(socket, GET.element, family, text(1, table), text(2, name)).flatMap((body) => {
    const list = attributes(body, 4).get(3);
    return list === undefined ? [] : [list];
  });
}

/** The elements in such a list. */
export function elementsIn(list: Uint8Array): RawElement[] {
  return eachAttribute(list).map(([, value]) => attributes(value));
}

/** The chain that a verdict (`NFTA_DATA_VERDICT`) jumps or goes to; undefined for other verdicts. */
export function verdictOf(data: Uint8Array | undefined): { code: number; chain: string } | undefined {
  const verdict = data === undefined ? undefined : attributes(data).get(2);
  if (verdict === undefined) return undefined;
  const parts = attributes(verdict);
  return { code: beNumberOf(parts.get(1)) | 0, chain: textOf(parts.get(2)) };
}

/** A number that every change of any table raises. */
export function rulesetGeneration(socket: Netlink): number {
  const request = { type: (SUBSYSTEM << 8) | GET.generation, flags: NLM_F.ack, body: new Uint8Array(4) };
  const [reply] = socket.exchange([request])[0]?.replies ?? [];
  return reply === undefined ? 0 : beNumberOf(attributes(reply.body, 4).get(1));
}

function dormantTables(socket: Netlink): Set<string> {
  const found = dump(socket, GET.table).map((body) => ({ family: body[0] ?? 0, parts: attributes(body, 4) }));
  const asleep = found.filter(({ parts }) => (beNumberOf(parts.get(2)) & DORMANT) !== 0);
  return new Set(asleep.map(({ family, parts }) => `${family} ${textOf(parts.get(1))}`));
}

function toChain(body: Uint8Array): RawChain {
  const found = attributes(body, 4);
  const chain = { family: body[0] ?? 0, table: textOf(found.get(1)), name: textOf(found.get(3)) };
  const hook = found.get(4);
  if (hook === undefined) return chain;
  const where = attributes(hook);
  const policy = beNumberOf(found.get(5)) === 0 ? "drop" : "accept";
  return { ...chain, hook: { hook: beNumberOf(where.get(1)), priority: beNumberOf(where.get(2)) | 0, policy, type: textOf(found.get(7)) } };
}

function toRule(body: Uint8Array): RawRule {
  const found = attributes(body, 4);
  return {
    family: body[0] ?? 0,
    table: textOf(found.get(1)),
    chain: textOf(found.get(2)),
    handle: beNumberOf(found.get(3)),
    expressions: eachAttribute(found.get(4) ?? new Uint8Array()).map(([, value]) => {
      const parts = attributes(value);
      return { name: textOf(parts.get(1)), data: parts.get(2) ?? new Uint8Array() };
    }),
    comment: commentIn(found.get(7)),
  };
}

/** A rule's comment: user data are triples of type, length and value. */
function commentIn(data: Uint8Array | undefined): string {
  for (let at = 0; data !== undefined && at + 2 <= data.length; at += 2 + (data[at + 1] ?? 0)) {
    if (data[at] === USERDATA_COMMENT) return textOf(data.subarray(at + 2, at + 2 + (data[at + 1] ?? 0)));
  }
  return "";
}

/** A comment as user data of a rule, at most 127 bytes of text. */
export function commentAttribute(comment: string): Uint8Array {
  const bytes = Buffer.from(`${comment}\0`);
  return attribute(7, Buffer.concat([Uint8Array.of(USERDATA_COMMENT, bytes.length), bytes]));
}

function toSet(body: Uint8Array): RawSet {
  const list = eachAttribute(body, 4);
  const found = new Map(list);
  return {
    family: body[0] ?? 0,
    table: textOf(found.get(1)),
    name: textOf(found.get(2)),
    flags: beNumberOf(found.get(3)),
    attributes: list,
  };
}

function dump(socket: Netlink, message: number, family = 0, ...parts: Uint8Array[]): Uint8Array[] {
  const body = Buffer.concat([Uint8Array.of(family, 0, 0, 0), ...parts]);
  const request = { type: (SUBSYSTEM << 8) | message, flags: NLM_F.dump, body };
  const [answer] = socket.exchange([request]);
  const errno = answer?.errno || answer?.cutShort || 0;
  // What was read in part must not pass for the whole: a set of the forbidden would let some in.
  if (answer === undefined || errno !== 0) throw netlinkError({ text: "", replies: [], ...answer, errno }, "read the host's rules");
  return answer.replies.map((reply) => reply.body);
}
