import type { Netlink } from "../linux/netlink.ts";
import { HOOK } from "../linux/nft.ts";
import { baseChains, chainNames, closingChains } from "../linux/nft-list.ts";
import { enterPlaces } from "./foreign-places.ts";
import type { ForeignDrop } from "./jobs.ts";

const FAMILIES = ["ip", "ip6", "inet"];

/**
 * Forward chains of other tables (Docker's, ufw's, firewalld's) that drop what no rule of theirs lets pass: an accept in our table does not
 * override them. Where their owner provides a place, rules of ours go there; answered are those that still drop.
 */
export function openForeign(socket: Netlink, table: string): ForeignDrop[] {
  return enterPlaces(socket, table, foreignDrops(socket, table));
}

/** Chains of others that drop forwarded packets. */
export function foreignDrops(socket: Netlink, table: string): ForeignDrop[] {
  const forward = baseChains(socket).filter(
    (chain) => chain.hook === HOOK.forward && FAMILIES.includes(chain.family) && !(chain.family === "inet" && chain.table === table),
  );
  if (forward.length === 0) return [];
  const dockerUser = chainNames(socket).has("ip filter DOCKER-USER");
  const closing = closingChains(socket);
  return forward.flatMap(({ family, table: owner, name, policy }): ForeignDrop[] => {
    const chain = `${family} ${owner} ${name}`;
    if (policy === "drop") return [{ chain, how: "policy drop", dockerUser }];
    return closing.has(chain) ? [{ chain, how: "last rule drops", dockerUser }] : [];
  });
}

/** What to tell about such a chain: the rule by name, and the one command that opens it for a bridge. */
export function foreignDropWarning(drop: ForeignDrop, bridge: string): string {
  return `Packets of network bridge "${bridge}" are dropped by chain "${drop.chain}" (${drop.how}), which is not ours: open it with: ${commandFor(drop, bridge)}`;
}

function commandFor({ chain, dockerUser }: ForeignDrop, bridge: string): string {
  if (chain.startsWith("inet firewalld "))
    return `firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && firewall-cmd --reload`;
  const iptables = chain.startsWith("ip6 ") ? "ip6tables" : "iptables";
  if (dockerUser && chain.startsWith("ip "))
    return `${iptables} -I DOCKER-USER -i ${bridge} -j ACCEPT && ${iptables} -I DOCKER-USER -o ${bridge} -j ACCEPT`;
  if (/^ip6? filter FORWARD$/.test(chain))
    return `${iptables} -I FORWARD -i ${bridge} -j ACCEPT && ${iptables} -I FORWARD -o ${bridge} -j ACCEPT`;
  return `nft insert rule ${chain} iifname ${bridge} accept && nft insert rule ${chain} oifname ${bridge} accept`;
}
