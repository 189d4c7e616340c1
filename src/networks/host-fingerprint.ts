import { type HostTable, elementsOf } from "./host-snapshot.ts";

/** Attributes of an element that change by themselves: what is left of its time, and its counters. */
const EXPIRATION = 5;
const STATE = 7;
const STATES = 11;
/** Flags of sets whose elements have time-outs or are made by packets; attributes of sets whose elements count. */
const CHANGING = 0x10 | 0x20;
const EXPRESSION = 17;
const EXPRESSIONS = 18;
/** Expressions that count: what they hold decides nothing. */
const COUNTING = new Set(["counter", "last", "quota"]);

/** A text that is the same as long as the host's rules say the same. */
export function fingerprint(tables: readonly HostTable[], legacy: readonly string[]): string {
  const hash = new Bun.CryptoHasher("sha256");
  for (const { family, table, bases, chains, sets } of tables) {
    hash.update(JSON.stringify([family, table, bases]));
    for (const rule of [...chains.values()].flat()) {
      hash.update(`\n${rule.chain} ${rule.handle}`);
      for (const { name, data } of rule.expressions) {
        hash.update(`\n${name}`);
        if (!COUNTING.has(name)) hash.update(data);
      }
    }
    for (const set of sets.values()) {
      const { name, flags, elements, attributes: own } = set;
      hash.update(`\n${name} ${flags}`);
      // What only lists values changes with them alone.
      if ((flags & CHANGING) === 0 && !own.some(([type]) => type === EXPRESSION || type === EXPRESSIONS)) {
        for (const list of elements) hash.update(list);
        continue;
      }
      for (const element of elementsOf(set)) {
        for (const [type, value] of element) if (type !== EXPIRATION && type !== STATE && type !== STATES) hash.update(value);
      }
    }
  }
  for (const name of legacy) hash.update(`\n${name}`);
  return hash.digest("hex");
}
