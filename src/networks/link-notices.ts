import { NETLINK_ROUTE, Netlink, attributes, textOf } from "../linux/netlink.ts";
import { drainNotices, subscribe } from "../linux/netlink-notices.ts";

const RTNLGRP_LINK = 1;
const RTM_DELLINK = 17;
/** `struct ifinfomsg` stands before the attributes; rtnetlink(7). */
const IFINFO_BYTES = 16;
const IFLA_IFNAME = 3;

/** Links that somebody removed; `lost` where the kernel had to drop notices, so that there may be more. */
export interface GoneLinks {
  names: string[];
  lost: boolean;
}

/** Listens to what happens to the host's links. Lives in the network Worker. */
export class LinkNotices {
  #listener: Netlink | undefined;

  /** A descriptor that gets readable when something happened to links. */
  listen(): number {
    if (this.#listener === undefined) {
      this.#listener = new Netlink(NETLINK_ROUTE);
      subscribe(this.#listener.fd, RTNLGRP_LINK);
    }
    return this.#listener.fd;
  }

  /** Reads the notices that came. */
  look(): GoneLinks {
    if (this.#listener === undefined) return { names: [], lost: false };
    const { notices, lost } = drainNotices(this.#listener.fd);
    const gone = notices.filter(({ type }) => type === RTM_DELLINK);
    return { names: gone.map(({ body }) => textOf(attributes(body, IFINFO_BYTES).get(IFLA_IFNAME))), lost };
  }
}
