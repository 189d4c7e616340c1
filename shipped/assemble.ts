/** An instruction whose bytes depend on how far away a label is: `distance` counts from the instruction's first byte. */
export interface Relative {
  to: string;
  size: number;
  encode(distance: number): readonly number[];
}

/** Fixed bytes, a relative instruction, or a label (a string) at that place. */
export type Item = readonly number[] | Relative | string;

/** The machine code of the items in order. The label `end` stands after the last one. Throws on a label that is not there. */
export function assemble(items: readonly Item[]): Uint8Array {
  const labels = new Map<string, number>();
  let size = 0;
  for (const item of items) {
    if (typeof item === "string") labels.set(item, size);
    else size += "to" in item ? item.size : item.length;
  }
  labels.set("end", size);
  const code: number[] = [];
  for (const item of items) {
    if (typeof item === "string") continue;
    if (!("to" in item)) {
      code.push(...item);
      continue;
    }
    const target = labels.get(item.to);
    if (target === undefined) throw new Error(`Cannot assemble: there is no label "${item.to}"`);
    code.push(...item.encode(target - code.length));
  }
  return Uint8Array.from(code);
}

/** The four bytes of a number, lowest first; negative ones as two's complement. */
export function le32(value: number): readonly number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}
