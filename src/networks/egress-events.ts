import { messageOf } from "../base/errors.ts";
import { appendEvent } from "../state/events.ts";
import type { Context } from "./context.ts";
import { placeAt } from "./egress-state.ts";
import type { RefusedPacket } from "./egress-log.ts";
import { type EndpointRow, endpointsOf, networkById } from "./rows.ts";

/** The same attempt is told once in so long, ms. */
const AGAIN = 10_000;
/** What one container may tell in a minute; more is counted, and the count told with the next. */
const A_MINUTE = 30;

interface Told {
  /** When each attempt was told last. */
  last: Map<string, number>;
  minute: number;
  count: number;
  untold: number;
}

/** Writes refused attempts into the event log, so many that one container cannot fill it. */
export interface RefusedTeller {
  tellPackets(packets: readonly RefusedPacket[]): void;
  tellName(container: string, name: string): void;
}

const tellers = new WeakMap<Context, RefusedTeller>();

/** The teller of a daemon's networks. */
export function refusedTeller(context: Context): RefusedTeller {
  const known = tellers.get(context);
  if (known !== undefined) return known;
  const made = makeTeller(context);
  tellers.set(context, made);
  return made;
}

function makeTeller(context: Context): RefusedTeller {
  const told = new Map<string, Told>();
  const tell = (attempts: { endpoint: EndpointRow; attributes: Record<string, string> }[]): void => {
    for (const container of told.keys()) if (!context.egress.places.has(container)) told.delete(container);
    const now = Date.now();
    const due = attempts.flatMap(({ endpoint, attributes }) => {
      const untold = take(told, endpoint.container, Object.values(attributes).join(" "), now);
      return untold === undefined ? [] : [{ endpoint, attributes: { ...attributes, ...(untold > 0 && { untold: String(untold) }) } }];
    });
    if (due.length === 0) return;
    try {
      context.state.write((tx) => due.forEach(({ endpoint, attributes }) => appendEvent(tx, eventOf(context, endpoint, attributes))), {
        durable: false,
      });
    } catch (error) {
      context.log.warn("refused ways out are not told: {error}", { error: messageOf(error) });
    }
  };
  return {
    tellPackets(packets) {
      tell(
        packets.flatMap(({ from, to, protocol, port }) => {
          const endpoint = endpointAt(context, from);
          return endpoint === undefined
            ? []
            : [{ endpoint, attributes: { address: to, protocol, ...(port !== undefined && { port: String(port) }) } }];
        }),
      );
    },
    tellName(container, name) {
      const endpoint = endpointsOf(context.state, container).find(({ config }) => config.state === "active");
      if (endpoint !== undefined) tell([{ endpoint, attributes: { host: printable(name), protocol: "dns" } }]);
    },
  };
}

/** A name as text (RFC 1035, 5.1): it has whatever bytes the container put there, and events are read on terminals. */
function printable(name: string): string {
  return name.replace(/[^!-~]/g, (letter) => `\\${String(letter.charCodeAt(0)).padStart(3, "0")}`);
}

function endpointAt(context: Context, address: string): EndpointRow | undefined {
  const place = placeAt(context.egress, address);
  return place === undefined ? undefined : endpointsOf(context.state, place.container).find(({ hostName }) => hostName === place.hostName);
}

/** How many attempts went untold since the last one that was told; undefined for one that is not to be told. */
function take(all: Map<string, Told>, container: string, attempt: string, now: number): number | undefined {
  const told = all.get(container) ?? { last: new Map<string, number>(), minute: now, count: 0, untold: 0 };
  all.set(container, told);
  if (now - told.minute >= 60_000) Object.assign(told, { minute: now, count: 0 });
  for (const [other, time] of told.last) if (now - time >= AGAIN) told.last.delete(other);
  if (told.last.has(attempt) || told.count >= A_MINUTE) {
    told.untold++;
    return undefined;
  }
  told.last.set(attempt, now);
  told.count++;
  const { untold } = told;
  told.untold = 0;
  return untold;
}

function eventOf(context: Context, endpoint: EndpointRow, attributes: Record<string, string>): Parameters<typeof appendEvent>[1] {
  const network = networkById(context.state, endpoint.network);
  const { container } = endpoint;
  const where = { container, name: network?.name ?? "", type: network?.driver ?? "" };
  return { type: "network", action: "egress-refused", actor: endpoint.network, attributes: { ...where, ...attributes } };
}
