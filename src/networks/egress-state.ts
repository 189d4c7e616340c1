import type { EgressLog } from "./egress-log.ts";
import type { EgressPorts } from "./egress-rules.ts";
import type { EgressAddress, EgressPlace } from "./egress-table.ts";

/** A limited place as names see it. */
export interface LimitedPlace extends EgressPlace {
  container: string;
  names: (EgressPorts & { name: string })[];
}

/** An address that names have: when it is forgotten (ms), and the names, none where an earlier daemon learnt it. */
export interface NamedAddress extends EgressAddress {
  until: number;
  names: string[];
}

/** What is known of limits: filled in by {@link refreshEgress}. */
export interface EgressState {
  /** By container. */
  places: Map<string, LimitedPlace[]>;
  /** Limited containers with a place that is not. */
  open: Set<string>;
  /** Containers that leave: their rows are still there. */
  left: Set<string>;
  /** Addresses of names, by address of the container, and when they end (ms). */
  addresses: Map<string, Map<string, NamedAddress>>;
  /** By address of a container: whose it was when something was allowed to it, by the host's end of its wire. */
  owners: Map<string, string>;
  /** Containers whose rules cannot be understood, and that therefore reach nothing. */
  unread: Set<string>;
  log: EgressLog | undefined;
  written: boolean;
}

/** With nothing limited. */
export function noEgress(): EgressState {
  return {
    places: new Map(),
    open: new Set(),
    left: new Set(),
    addresses: new Map(),
    owners: new Map(),
    unread: new Set(),
    log: undefined,
    written: false,
  };
}

/** The container and the host's end of the wire of a limited address. */
export function placeAt({ places }: EgressState, address: string): LimitedPlace | undefined {
  for (const some of places.values()) {
    const place = some.find(({ addresses }) => addresses.includes(address));
    if (place !== undefined) return place;
  }
  return undefined;
}
