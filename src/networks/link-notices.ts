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

/** A descriptor that gets readable when something happened to links; whoever asked closes it. */
export function listenToLinks(): number {
  const { fd } = new Netlink(NETLINK_ROUTE);
  subscribe(fd, RTNLGRP_LINK);
  return fd;
}

/** Reads the notices that came, and tells which links went. */
export function goneLinks(listener: number): GoneLinks {
  const { notices, lost } = drainNotices(listener);
  const gone = notices.filter(({ type }) => type === RTM_DELLINK);
  return { names: gone.map(({ body }) => textOf(attributes(body, IFINFO_BYTES).get(IFLA_IFNAME))), lost };
}
