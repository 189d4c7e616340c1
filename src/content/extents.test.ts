import { expect, test } from "bun:test";
import { addExtent, type Extent, formatExtents, holesBetween, lengthOf, parseExtents } from "./extents.ts";

test("runs are joined where they touch, holes are what is left: as with single bytes", () => {
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
  for (let round = 0; round < 300; round++) {
    let list: Extent[] = [];
    const bytes = new Set<number>();
    for (let step = 0; step < 8; step++) {
      const start = random(60);
      const end = start + random(12);
      list = addExtent(list, { start, end });
      for (let at = start; at < end; at++) bytes.add(at);
    }
    expect(lengthOf(list)).toBe(bytes.size);
    for (const [index, { start }] of list.entries()) expect(start).toBeGreaterThan(list[index - 1]?.end ?? -1);
    const [from, to] = [random(30), 30 + random(50)];
    const missing = Array.from({ length: to - from }, (_, index) => from + index).filter((at) => !bytes.has(at));
    const holes = holesBetween(list, from, to);
    expect(holes.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, index) => start + index))).toEqual(missing);
    if (list.length > 0) expect(parseExtents(formatExtents(list))).toEqual(list);
  }
});

test("what no list of runs is", () => {
  for (const text of ["", "1", "1-", "1-2,", "a-b", "1-2;3-4"]) expect(parseExtents(text)).toBeUndefined();
});
