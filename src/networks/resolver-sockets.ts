import { check, libc } from "../linux/libc.ts";
import { inNamespace, openNamespace } from "../linux/in-namespace.ts";
import { NETLINK_NETFILTER, Netlink, openNetlink } from "../linux/netlink.ts";
import { HOOK, NFPROTO, NftBatch, compare, constant, dnat, load, portBytes, verdict } from "../linux/nft.ts";

/** Where containers of user networks ask for names: Docker's address. */
export const RESOLVER = "127.0.0.11";
const ADDRESS = Uint8Array.of(127, 0, 0, 11);
const TABLE = "lighter_dns";
const AF_INET = 2;
const SOCK = { udp: 2, tcp: 1 } as const;
const SOCK_FLAGS = 0o2004000;
const PROTOCOL = { udp: 17, tcp: 6 } as const;
const DNS_PORT = portBytes(53);

/** `127.0.0.11` with a port of the kernel's choice, as a `sockaddr_in`. */
const ANY_PORT = Uint8Array.of(AF_INET, 0, 0, 0, ...ADDRESS, 0, 0, 0, 0, 0, 0, 0, 0);

/** Descriptors of a resolver's sockets in a container's namespace. */
export interface ResolverSockets {
  udp: number;
  tcp: number;
}

/**
 * Opens a resolver's sockets on free ports of 127.0.0.11 in a namespace, and sends there what is asked of its port 53: nothing of ours holds that port, so
 * that the container may run a name server of its own.
 */
export function openResolverSockets(namespace: number | string): ResolverSockets {
  const fd = typeof namespace === "number" ? namespace : openNamespace(namespace);
  try {
    const [udp, tcp, rules] = inNamespace(fd, () => [openSocket("udp"), openSocket("tcp"), openNetlink(NETLINK_NETFILTER)] as const);
    const netlink = new Netlink(NETLINK_NETFILTER, rules);
    try {
      redirect(netlink, typeof namespace === "number", { udp: portOf(udp), tcp: portOf(tcp) });
      return { udp, tcp };
    } catch (error) {
      libc().close(udp);
      libc().close(tcp);
      throw error;
    } finally {
      netlink.close();
    }
  } finally {
    if (typeof namespace === "string") libc().close(fd);
  }
}

function openSocket(protocol: "udp" | "tcp"): number {
  const c = libc();
  const fd = check(c.socket(AF_INET, SOCK[protocol] | SOCK_FLAGS, 0), "socket");
  check(c.bind(fd, ANY_PORT, ANY_PORT.length), "bind");
  if (protocol === "tcp") check(c.listen(fd, 64), "listen");
  return fd;
}

function portOf(fd: number): Uint8Array {
  const name = new Uint8Array(16);
  check(libc().getsockname(fd, name, Int32Array.of(16)), "getsockname");
  return name.slice(2, 4);
}

function redirect(netlink: Netlink, fresh: boolean, ports: Record<"udp" | "tcp", Uint8Array>): void {
  const batch = new NftBatch(TABLE);
  // A new namespace has no table: deleting one would make the socket's end wait for all processors (RCU), 13 ms.
  if (fresh) batch.addTable();
  else batch.replaceTable();
  batch.chain({ name: "ask", type: "nat", hook: HOOK.output, priority: -100 });
  const asked = [load.family(), compare(Uint8Array.of(NFPROTO.ipv4)), load.destination(4), compare(ADDRESS)];
  for (const protocol of ["udp", "tcp"] as const) {
    const port53 = [load.protocol(), compare(Uint8Array.of(PROTOCOL[protocol])), load.destinationPort(), compare(DNS_PORT)];
    batch.rule("ask", ...asked, ...port53, constant(ADDRESS, 0), constant(ports[protocol], 1), dnat(4, 0, 1));
  }
  batch.rule("ask", ...asked, verdict("accept"));
  batch.commit(netlink);
}
