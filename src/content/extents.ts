/** A run of bytes: from `start` up to `end`, which does not belong to it. */
export interface Extent {
  start: number;
  end: number;
}

/** The list with one more run in it: in order, apart from each other, those that touch joined. */
export function addExtent(list: readonly Extent[], { start, end }: Extent): Extent[] {
  if (end <= start) return [...list];
  const before = list.filter((each) => each.end < start);
  const after = list.filter((each) => each.start > end);
  const touched = list.filter((each) => each.end >= start && each.start <= end);
  const joined = { start: Math.min(start, ...touched.map((each) => each.start)), end: Math.max(end, ...touched.map((each) => each.end)) };
  return [...before, joined, ...after];
}

/** What lies between `from` and `to` and in none of the runs, which are in order. */
export function holesBetween(list: readonly Extent[], from: number, to: number): Extent[] {
  const holes: Extent[] = [];
  let at = from;
  for (const { start, end } of list) {
    if (start > at && at < to) holes.push({ start: at, end: Math.min(start, to) });
    at = Math.max(at, end);
  }
  if (at < to) holes.push({ start: at, end: to });
  return holes;
}

/** Bytes of all runs together. */
export function lengthOf(list: readonly Extent[]): number {
  return list.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Runs as they stand in a row: `start-end,start-end`. */
export function formatExtents(list: readonly Extent[]): string {
  return list.map(({ start, end }) => `${start}-${end}`).join(",");
}

/** Reads what {@link formatExtents} wrote; undefined for anything else. */
export function parseExtents(text: string): Extent[] | undefined {
  if (!/^\d+-\d+(,\d+-\d+)*$/.test(text)) return undefined;
  return text.split(",").map((each) => {
    const [start = 0, end = 0] = each.split("-").map(Number);
    return { start, end };
  });
}
