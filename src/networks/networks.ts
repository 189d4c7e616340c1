import type { EndpointSettings, Network, NetworkingConfig, NetworkInspect, PortMap } from "../wire/engine-api.ts";
import type { Filters } from "../wire/filters.ts";
import type { PortReach } from "../wire/port-reach.ts";
import type { Reach } from "./firewall.ts";
import type { Reader, Tx } from "../state/state.ts";
import type { AddressPool } from "./pools.ts";

/** What a container asks of the network, from its HostConfig and NetworkingConfig. */
export interface NetworkRequest {
  containerId: string;
  /** Without the leading slash. */
  containerName: string;
  hostname: string;
  domainname: string;
  /** `default`, `bridge`, `host`, `none`, `container:<id or name>`, or a network's name or id. */
  mode: string;
  endpoints: NonNullable<NetworkingConfig["EndpointsConfig"]>;
  /** `PortBindings`, and what `-P` adds for `exposed`. */
  portBindings: PortMap;
  exposed: string[];
  publishAll: boolean;
  dns: string[];
  dnsOptions: string[];
  dnsSearch: string[];
  extraHosts: string[];
  links: string[];
  sysctls: Record<string, string>;
  /** What it may reach (`lighter.egress`): `none`, `any`, or a list; undefined for what its networks say. */
  egress?: string | undefined;
  /** It has users of its own: its namespace is not ours to make. */
  ownUsers?: boolean;
  /** Descriptor of an empty network namespace of its user namespace, at `enter`; the caller's to close. */
  within?: number;
}

/** The network of a starting container, ready to be entered by its first process. */
export interface Sandbox {
  /** What goes into the OCI spec's network namespace: a path (`/proc/<daemon>/fd/N`, `/proc/<pid>/ns/net`), or undefined for the host's. */
  namespace: string | undefined;
  /** Content of the files that are mounted into the container; undefined where another container's are shared. */
  hosts: string | undefined;
  resolvConf: string | undefined;
  /** Called once the container's init holds the namespace (after create): the daemon's own descriptor may be closed. */
  entered(): void;
}

/**
 * Networks and the containers' places in them. What happens in two steps is split as every part does it: rows inside the caller's transaction
 * (synchronous, UNIQUE constraints decide), effects in the kernel around it.
 */
export interface Networks {
  /** Makes `bridge`, `host` and `none`, finds kernel objects of an earlier life, sweeps what no row names, starts filling the pool. */
  restore(running: { containerId: string; pid: number }[]): Promise<void>;

  /** Checks a request when a container is created: unknown networks are `not-found`, bad combinations `invalid`, with Docker's texts. */
  check(request: NetworkRequest): void;
  /**
   * Takes addresses, MACs and host ports for a start: rows of endpoints and ports. A port in use is `unavailable` (500, as Docker answers) with Docker's text
   * (`... driver failed programming external connectivity on endpoint web (...): Bind for 0.0.0.0:8080 failed: port is already allocated`).
   */
  reserve(tx: Tx, request: NetworkRequest): void;
  /** Makes the namespace and its wires, or takes them from the pool, and opens the ports. Undoes its own effects when it throws. */
  enter(request: NetworkRequest): Promise<Sandbox>;
  /** Removes ports and wires of a stopped container from the kernel; the namespace goes with its last process. */
  leave(containerId: string): Promise<void>;
  /** Deletes the rows that `reserve` made (fixed addresses asked for at create stay in the container's own configuration). */
  release(tx: Tx, containerId: string): void;

  /**
   * Brings the host ports of a running container to what the request asks: rows and sockets in the transaction, what stays is not touched. The answer
   * opens and closes them in the kernel, to be called after the commit; undefined while the container is in no network that leads out.
   */
  republish(tx: Tx, request: NetworkRequest): (() => Promise<void>) | undefined;
  /**
   * Brings a running container's ways out to what the request allows. The answer tells the kernel, to be called after the commit; undefined while the container
   * is in no network of its own.
   */
  limitWays(tx: Tx, request: NetworkRequest): (() => Promise<void>) | undefined;
  /** Gives a container other names in a network; `kept` tells whether they are kept here from run to run, else its own configuration has to. */
  changeAliases(
    tx: Tx,
    request: Pick<NetworkRequest, "containerId" | "containerName" | "mode" | "endpoints">,
    network: string,
    change: { add: string[]; remove: string[] },
  ): { network: string; id: string; aliases: string[]; kept: boolean };

  /** Gives a container's places its new name, for inspect and for name look-ups. */
  rename(tx: Tx, containerId: string, name: string): void;

  /**
   * For inspect: the `Networks` map as it is now, `Ports`, and the sandbox's ids. With `asked` a container that does not run shows the networks
   * that it will be in, without addresses, as Docker does (compose compares them).
   */
  settings(
    reader: Reader,
    containerId: string,
    asked?: Pick<NetworkRequest, "mode" | "endpoints">,
  ): { networks: Record<string, EndpointSettings>; ports: PortMap; sandboxId: string; sandboxKey: string };

  /**
   * For ps: networks and ports as `settings` has them, for many containers at one moment: what they have in common is read once.
   * The function is of use until the next `await`.
   */
  summaries(): (
    containerId: string,
    asked: Pick<NetworkRequest, "mode" | "endpoints">,
  ) => { networks: Record<string, EndpointSettings>; ports: PortMap };

  /** What a user should know of networks: published ports that another program has taken, as sentences. */
  warnings(): string[];
  /** Takes over settings that may change while the daemon runs. */
  reconfigure(options: Required<Pick<NetworksOptions, "reach">>): Promise<void>;
  /** What the outside reaches of published ports, and why. */
  reachable(containerId?: string): Promise<PortReach[]>;

  list(filters: Filters): Network[];
  inspect(reference: string, options?: { verbose?: boolean }): NetworkInspect;
  create(options: NetworkCreateOptions): Promise<{ id: string; warning: string }>;
  remove(reference: string): Promise<void>;
  prune(filters: Filters): Promise<string[]>;
  connect(reference: string, containerId: string, endpoint: EndpointSettings): Promise<void>;
  disconnect(reference: string, containerId: string, options: { force: boolean }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The body of `/networks/create`. */
export interface NetworkCreateOptions {
  name: string;
  driver: string;
  internal: boolean;
  attachable: boolean;
  enableIPv4: boolean;
  enableIPv6: boolean;
  ipam: {
    driver?: string;
    options?: Record<string, string>;
    config?: { subnet?: string; ipRange?: string; gateway?: string; auxAddresses?: Record<string, string> }[];
  };
  options: Record<string, string>;
  labels: Record<string, string>;
  /** A configuration for others, not a network. */
  configOnly?: boolean;
  /** Name of the configuration to take options, subnets and labels from. */
  configFrom?: string;
}

/** What a daemon's configuration says of the default bridge and of names, where it is not as Docker has it; names are those of NETWORK_KEYS. */
export interface NetworkDefaults {
  /** Name servers of containers that name none, in the place of the host's; likewise the two after it. */
  dns?: string[];
  dnsSearch?: string[];
  dnsOptions?: string[];
  /** Bytes, of the default bridge; 0 or undefined for that of the way out. */
  mtu?: number;
  /** Whether containers of the default bridge may talk to each other. */
  icc?: boolean;
  /** Whether they get the host's address on their way out. */
  masquerade?: boolean;
  /** Whether the host is made to forward packets. */
  forward?: boolean;
  /** Where ports of the default bridge are published that name no address. */
  hostAddress?: string;
  /** Part of the default bridge's subnet that containers get addresses of; all of it where there is no `bip`. */
  fixedCidr?: string;
  /** The default bridge has IPv6, too. */
  ipv6?: boolean;
  /** As `bip` and `fixedCidr`; a subnet of unique local addresses without either. */
  bip6?: string;
  fixedCidr6?: string;
  /** Addresses in the default bridge's subnets that its containers send what goes elsewhere to, in the place of the bridge. */
  gateway4?: string;
  gateway6?: string;
  /** Options of new networks that do not say otherwise, by driver. */
  networkOptions?: Record<string, Record<string, string>>;
  /** What `host-gateway` means, in the place of the default bridge's address. */
  hostGateway?: string;
}

/** Configuration of {@link Networks}. */
export interface NetworksOptions {
  dataRoot: string;
  execRoot: string;
  /** `lighter0` for the default data root, else derived from it, or given by `--bridge-name`. At most 15 bytes. */
  bridgeName: string;
  /** nftables table, `lighter` or derived. */
  table: string;
  /** Subnets to choose from: the first that no route or address of the host overlaps. */
  addressPools: readonly AddressPool[];
  /** Fixed address of the default bridge (`--bip`), in CIDR form. */
  bip: string | undefined;
  defaults?: NetworkDefaults;
  /** How many namespaces of the default bridge are kept ready. */
  poolSize: number;
  /** Who reaches published ports from outside of the host where nothing else is said: `firewall` if undefined. */
  reach?: Reach;
}
