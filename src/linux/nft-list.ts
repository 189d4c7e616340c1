import { NETLINK_NETFILTER, NLM_F, Netlink, attributes, beNumberOf, eachAttribute, textOf } from "./netlink.ts";

const SUBSYSTEM = 10;
const GET_CHAIN = 4;
const GET_RULE = 7;
const FAMILIES: Readonly<Record<number, string>> = { 1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6" };

/** A base chain of anybody's, as `nft list chains` shows it. */
export interface BaseChain {
  family: string;
  table: string;
  name: string;
  hook: number;
  priority: number;
  policy: "accept" | "drop";
}

/** Every base chain of every table. */
export function baseChains(socket: Netlink): BaseChain[] {
  return dump(socket, GET_CHAIN).flatMap((body) => {
    const found = attributes(body, 4);
    const hook = found.get(4);
    if (hook === undefined) return [];
    const where = attributes(hook);
    return [
      {
        family: FAMILIES[body[0] ?? 0] ?? String(body[0]),
        table: textOf(found.get(1)),
        name: textOf(found.get(3)),
        hook: beNumberOf(where.get(1)),
        priority: beNumberOf(where.get(2)) | 0,
        policy: beNumberOf(found.get(5)) === 0 ? ("drop" as const) : ("accept" as const),
      },
    ];
  });
}

/** Every chain of every table, by `family table name`, whether it is a base chain or not. */
export function chainNames(socket: Netlink): Set<string> {
  return new Set(
    dump(socket, GET_CHAIN).map((body) => {
      const found = attributes(body, 4);
      return `${FAMILIES[body[0] ?? 0] ?? ""} ${textOf(found.get(1))} ${textOf(found.get(3))}`;
    }),
  );
}

/** The chains (`family table name`) whose last rule takes every packet and drops or rejects it. */
export function closingChains(socket: Netlink): Set<string> {
  const last = new Map<string, boolean>();
  for (const body of dump(socket, GET_RULE)) {
    const found = attributes(body, 4);
    const chain = `${FAMILIES[body[0] ?? 0] ?? ""} ${textOf(found.get(1))} ${textOf(found.get(2))}`;
    const expressions = eachAttribute(found.get(4) ?? new Uint8Array()).map(([, value]) => attributes(value));
    last.set(chain, expressions.filter((expression) => textOf(expression.get(1)) !== "counter").every(closes) && expressions.length > 0);
  }
  return new Set([...last].filter(([, closing]) => closing).map(([chain]) => chain));
}

function closes(expression: Map<number, Uint8Array>): boolean {
  const name = textOf(expression.get(1));
  if (name === "reject") return true;
  if (name !== "immediate") return false;
  const data = attributes(expression.get(2) ?? new Uint8Array()).get(2);
  const verdict = data === undefined ? undefined : attributes(data).get(2);
  return verdict !== undefined && beNumberOf(attributes(verdict).get(1)) === 0;
}

function dump(socket: Netlink, message: number): Uint8Array[] {
  const request = { type: (SUBSYSTEM << 8) | message, flags: NLM_F.dump, body: new Uint8Array(4) };
  return socket.exchange([request])[0]?.replies.map((reply) => reply.body) ?? [];
}

/** A socket to read tables with, in the calling thread's network namespace. */
export function openNftReader(): Netlink {
  return new Netlink(NETLINK_NETFILTER);
}
