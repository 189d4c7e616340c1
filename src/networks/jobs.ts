import type { Ways } from "./flows.ts";
import type { EgressPorts } from "./egress-rules.ts";
import type { EgressAddress, EgressModel } from "./egress-table.ts";
import type { FirewallModel, PortRule } from "./firewall.ts";
import type { Judgement } from "./host-judge.ts";
import type { HostChange } from "./host-rules.ts";
import type { KeeperAnswer, KeptPort } from "./port-records.ts";
import type { HostPort } from "./port-sockets.ts";
import type { GoneLinks } from "./link-notices.ts";
import type { NetworkRules } from "./network-rules.ts";

/** A link of the host that a container's interface sits on directly. Modes and flags are the kernel's numbers. */
export interface WireParent {
  kind: "macvlan" | "ipvlan";
  /** Name of the host's link. */
  link: string;
  mode: number;
  /** ipvlan's. */
  flag?: number;
}

/** A link for such interfaces to sit on. */
export type LinkSpec = { kind: "dummy"; name: string } | { kind: "vlan"; name: string; below: string; id: number };

/** One place of a container in a network, as the kernel is to make it. */
export interface Wire {
  /** Where it leads: a bridge of ours, or directly to a link of the host. */
  bridge: string;
  parent?: WireParent;
  /** Name of the end on the bridge, at most 15 bytes; empty where there is none. */
  hostName: string;
  /** Name inside, `eth0`. */
  name: string;
  mac: string;
  /** In CIDR form. */
  addresses: string[];
  /** Default gateways to set, by address; empty where another network's gateway leads out. */
  gateways: string[];
  /** Families whose default route names the link alone. */
  direct?: (4 | 6)[];
  /** 0 for that of the parent. */
  mtu: number;
  /** Keeps the port from talking to other ports (`enable_icc=false`). */
  isolated: boolean;
  /** Files below /proc/sys/net to write inside before the interface is up. */
  settings?: { path: string; value: string }[];
}

/** A bridge device as it should be. */
export interface BridgeSpec {
  name: string;
  mtu: number;
  /** The gateway's addresses in CIDR form, all that the bridge should have. */
  addresses: string[];
}

/** What the host's network looks like: read to choose subnets and the MTU. */
export interface Survey {
  links: { index: number; name: string; kind: string; mtu: number; master: number }[];
  /** Subnets that addresses and routes of the host cover, in CIDR form, with the link's name; default routes have length 0. */
  taken: { subnet: string; link: string; priority: number }[];
}

/** What keeps forwarded packets from our bridges although our own table lets them pass. */
export interface ForeignDrop {
  /** `ip filter FORWARD`. */
  chain: string;
  how: "policy drop" | "last rule drops";
  /** Whether Docker's place for users' rules is there. */
  dockerUser: boolean;
}

/** What the network Worker does, by name: its argument and its answer. Everything that may wait for the kernel's network locks is here. */
export interface Jobs {
  survey: [undefined, Survey];
  /** Makes a bridge, or brings the one of that name into the shape asked for; answers whether it was there, and who else is on it. */
  bridge: [BridgeSpec, { adopted: boolean; outsiders: string[] }];
  deleteLinks: [string[], void];
  makeLink: [LinkSpec, void];
  /** Puts links back on their bridge. */
  enslave: [{ bridge: string; links: string[]; isolated: boolean }, void];
  /** Makes a namespace with its loopback up and the wires in it; answers its descriptor in this process. */
  sandbox: [Wire[], number];
  /** The same in a namespace that is there, with nothing in it: a descriptor of this process, of which the answer is another. */
  furnish: [{ wires: Wire[]; within: number }, number];
  /** Adds a wire to a namespace given by path. */
  attach: [{ namespace: string; wire: Wire }, void];
  /** Deletes a link inside of a namespace given by path. */
  detach: [{ namespace: string; name: string }, void];
  /** Whether links carry packets by now; until a bridge has seen its port come up, it drops what comes in there. */
  areUp: [string[], boolean];
  /** Sets the default gateways of a namespace given by path. */
  gateways: [{ namespace: string; name: string; gateways: string[] }, void];
  /** Opens the sockets of a resolver in a namespace, given by descriptor or path. */
  resolver: [number | string, { udp: number; tcp: number }];
  writeTable: [{ table: string; model: FirewallModel }, void];
  changeNetworks: [{ table: string; add?: NetworkRules[]; remove?: NetworkRules[] }, void];
  changePorts: [{ table: string; add?: PortRule[]; remove?: PortRule[] }, void];
  /** Hands ports to the keeper at a path, started if there is none, or takes them from it; undefined where there is none and none is needed. */
  keepPorts: [{ path: string; add: KeptPort[]; remove: HostPort[] }, KeeperAnswer | undefined];
  /** Compiles the keeper ahead of its first start. */
  prepareKeeper: [undefined, void];
  /** What the keeper at a path keeps, if there is one. */
  keptPorts: [string, KeeperAnswer | undefined];
  dropTable: [string, void];
  writeEgress: [{ table: string; model: EgressModel }, void];
  allowEgress: [{ table: string; addresses: EgressAddress[] }, void];
  forgetBegun: [addresses: string[], void];
  cutWays: [Ways[], void];
  readEgress: [{ table: string; ports: EgressPorts[] }, EgressAddress[]];
  /** Opens the descriptor that gets readable when somebody changes the host's rules. */
  listenToRules: [undefined, number];
  /** What the host's rules say about ports; undefined before they were read. */
  judgePorts: [PortRule[], Judgement[] | undefined];
  /** Reads from such a descriptor what somebody changed, and asks the host's rules as they are now about published ports. */
  lookAtRules: [number, HostChange];
  /** Opens the descriptor that gets readable when something happens to links. */
  listenToLinks: [undefined, number];
  /** Reads from such a descriptor which links went. */
  lookAtLinks: [number, GoneLinks];
  /** Lets packets of our bridges through forward chains of others where these have a place for it; answers those that drop them still. */
  openForeign: [string, ForeignDrop[]];
}

/** A job on its way to the Worker. */
export interface JobMessage {
  id: number;
  job: keyof Jobs;
  argument: unknown;
}

/** What comes back: a result, or an error's kind and sentence. */
export interface JobAnswer {
  id: number;
  result?: unknown;
  error?: { code: string | undefined; message: string };
}
