/** Bytes of a blob that one connection fetches: `position` is how far it came. */
export interface Part {
  readonly start: number;
  position: number;
  end: number;
}

/** When a blob is fetched by several ranges at once, and how. Sizes in bytes. */
export interface Ranges {
  /** Smaller ones, and what is left of larger ones below that, come in one piece. */
  from: number;
  /** So much is fetched first, to see how fast one connection is and whether ranges are served. */
  first: number;
  /** So much each connection takes at a time at most. */
  part: number;
  /** So much it takes at least. */
  least: number;
  /** Connections for one blob. */
  lanes: number;
  /** Bytes a second that one connection has to bring to be left alone. */
  fast: number;
}

/**
 * One connection often gets a small share of what the line carries (its window, a limit of the other side), so that four bring more; where one brings
 * 100 MB a second, unpacking is the slower part. Parts are taken in order, so that unpacking has something to go on with.
 */
export const RANGES: Ranges = { from: 32 << 20, first: 8 << 20, part: 16 << 20, least: 512 << 10, lanes: 4, fast: 100e6 };

/** An answer is to take about this many times as long as the wait for its first byte. */
const WORTH = 10;

/**
 * How much to ask for at a time: what was asked for still comes in while a killed process dies, and is lost. So as little as the wait for an answer allows,
 * which for registries nearby is not much.
 */
export class Pace {
  /** Milliseconds from a question to the first byte, at best. */
  #wait = Infinity;
  /** Bytes a millisecond lately, the wait included: a small answer says little of the speed, and makes the next one larger. */
  #rate = 0;
  #answers = 0;

  /** Tells how an answer came: its first byte after so many milliseconds, all of so many bytes after so many. */
  note({ wait, bytes, took }: { wait: number; bytes: number; took: number }): void {
    this.#answers++;
    this.#wait = Math.min(this.#wait, wait);
    if (took > 0) this.#rate = bytes / took;
  }

  /** Bytes to ask for next. */
  part({ part, least }: Ranges): number {
    // The first answer had to wait for a connection, too.
    if (this.#answers < 2) return least;
    return Math.max(least, Math.min(part, Math.ceil(WORTH * this.#wait * this.#rate)));
  }
}

/** Hands out what is missing of a blob, each byte to one connection at a time. */
export class RangePlan {
  readonly #holes: () => { start: number; end: number }[];
  readonly #taken = new Set<Part>();

  /** @param holes what is missing of the blob now, in order */
  constructor(holes: () => { start: number; end: number }[]) {
    this.#holes = holes;
  }

  /** The first bytes that nobody fetches, `most` of them; undefined when there are none. */
  take(most: number): Part | undefined {
    const [free] = this.#free();
    if (free === undefined) return undefined;
    const part: Part = { start: free.start, position: free.start, end: Math.min(free.end, free.start + most) };
    this.#taken.add(part);
    return part;
  }

  /** Gives back what the connection did not bring. */
  release(part: Part): void {
    this.#taken.delete(part);
  }

  /** Bytes that nobody fetches. */
  get left(): number {
    return this.#free().reduce((sum, { start, end }) => sum + end - start, 0);
  }

  #free(): { start: number; end: number }[] {
    let free = this.#holes();
    for (const taken of this.#taken) free = free.flatMap((hole) => without(hole, taken));
    return free;
  }
}

function without(hole: { start: number; end: number }, taken: Part): { start: number; end: number }[] {
  const rest = [
    { start: hole.start, end: Math.min(hole.end, taken.start) },
    { start: Math.max(hole.start, taken.end), end: hole.end },
  ];
  return rest.filter(({ start, end }) => end > start);
}
