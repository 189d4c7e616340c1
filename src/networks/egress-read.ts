import { NFPROTO } from "../linux/nft.ts";
import { NLM_F, type Netlink, attributes, eachAttribute, text } from "../linux/netlink.ts";
import { addressOfBytes, formatAddress } from "./addresses.ts";
import { type EgressPorts, portsKey } from "./egress-rules.ts";
import type { EgressAddress } from "./egress-table.ts";

/** `NFT_MSG_GETSETELEM` of nf_tables, and the attributes of its answers. */
const GET_ELEMENTS = (10 << 8) | 13;
const LIST = 3;
const KEY = 1;
const VALUE = 1;
const EXPIRATION = 5;

/** The addresses of names that are allowed by now, with the time that each has left: what an earlier daemon wrote. */
export function readAddresses(socket: Netlink, table: string, ports: readonly EgressPorts[]): EgressAddress[] {
  const kinds = new Map(ports.map((one) => [portsKey(one), one]));
  return ([4, 6] as const).flatMap((family) =>
    [...kinds].flatMap(([key, kind]) => readSet(socket, table, `named${family}_${key}`, family).map((one) => ({ ...kind, ...one }))),
  );
}

function readSet(socket: Netlink, table: string, set: string, family: 4 | 6): { from: string; address: string; timeout: number }[] {
  const body = Buffer.concat([Uint8Array.of(NFPROTO.inet, 0, 0, 0), text(1, table), text(2, set)]);
  const [answer] = socket.exchange([{ type: GET_ELEMENTS, flags: NLM_F.dump, body }]);
  // A set that is not there has nothing in it.
  if (answer === undefined || answer.errno !== 0) return [];
  const lists = answer.replies.flatMap((reply) => eachAttribute(attributes(reply.body, 4).get(LIST) ?? new Uint8Array()));
  return lists.flatMap(([, element]) => {
    const parts = attributes(element);
    const key = attributes(parts.get(KEY) ?? new Uint8Array()).get(VALUE);
    const left = parts.get(EXPIRATION);
    const bytes = family === 4 ? 4 : 16;
    if (key?.length !== 2 * bytes || left?.length !== 8) return [];
    const [from, address] = [key.subarray(0, bytes), key.subarray(bytes)].map((part) => formatAddress(addressOfBytes(part)));
    const timeout = Number(new DataView(left.buffer, left.byteOffset, 8).getBigUint64(0));
    return from === undefined || address === undefined ? [] : [{ from, address, timeout }];
  });
}
