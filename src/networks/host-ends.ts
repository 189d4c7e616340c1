import { attributes } from "../linux/netlink.ts";
import { type HostSet, type HostTable, elementsOf } from "./host-snapshot.ts";

/** `NFTA_SET_ELEM_EXPIRATION`: milliseconds that are left of an element's time. */
const EXPIRATION = 5;
const HAS_TIMEOUTS = 0x10;
const IS_DYNAMIC = 0x20;
/** Differences up to this, in ms, come from looking at a set at two moments. */
const BLUR = 1000;
/** In sets that packets fill, which are looked at each second, ends are put off again and again: it is enough to follow these, in ms, before the copied end. */
const SOON = 5000;

/** Moments at which elements of sets run out, by set and key, in ms. */
export type Ends = ReadonlyMap<string, number>;

/** When the elements run out that were just read: the earliest moment that it may be. */
export function endsOf(tables: readonly HostTable[]): Ends {
  return new Map(tables.flatMap((table) => timed(table).flatMap((set) => ends(table, set, set.read[0]))));
}

/** Whether elements stay longer than their copies do, whose ends are given. */
export function isPutOff(tables: readonly HostTable[], copied: Ends): boolean {
  return tables.some((table) =>
    timed(table).some((set) => {
      const isFollowed = (set.flags & IS_DYNAMIC) !== 0;
      return ends(table, set, set.read[1]).some(([key, end]) => {
        const old = copied.get(key) ?? end;
        return end > old + BLUR && (!isFollowed || old < set.read[1] + SOON);
      });
    }),
  );
}

function timed({ sets }: HostTable): HostSet[] {
  return [...sets.values()].filter(({ flags }) => (flags & HAS_TIMEOUTS) !== 0);
}

function ends({ family, table }: HostTable, set: HostSet, now: number): [string, number][] {
  return elementsOf(set).flatMap((element): [string, number][] => {
    const left = element.get(EXPIRATION);
    if (left === undefined) return [];
    const key = attributes(element.get(1) ?? new Uint8Array()).get(1) ?? new Uint8Array();
    const milliseconds = Number(new DataView(left.buffer, left.byteOffset).getBigUint64(0));
    return [
      [`${family} ${table} ${set.name} ${Buffer.from(key).toString("latin1")} ${element.get(3)?.join("") ?? ""}`, now + milliseconds],
    ];
  });
}
