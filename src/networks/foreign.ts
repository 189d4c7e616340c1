import type { Netlink } from "../linux/netlink.ts";
import { HOOK } from "../linux/nft.ts";
import { baseChains, chainNames, closingChains } from "../linux/nft-list.ts";
import type { ForeignDrop } from "./jobs.ts";

/**
 * Forward chains of other tables (Docker's, ufw's, firewalld's) that drop what no rule of theirs lets pass: an accept in our table does not
 * override them.
 */
export function foreignDrops(socket: Netlink, table: string): ForeignDrop[] {
  const forward = baseChains(socket).filter(
    (chain) => chain.hook === HOOK.forward && ["ip", "inet"].includes(chain.family) && !(chain.family === "inet" && chain.table === table),
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
  const command = drop.dockerUser
    ? `iptables -I DOCKER-USER -i ${bridge} -j ACCEPT && iptables -I DOCKER-USER -o ${bridge} -j ACCEPT`
    : `nft insert rule ${drop.chain} iifname ${bridge} accept && nft insert rule ${drop.chain} oifname ${bridge} accept`;
  return `Packets of network bridge "${bridge}" are dropped by chain "${drop.chain}" (${drop.how}), which is not ours: open it with: ${command}`;
}
