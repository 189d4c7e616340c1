/** How long a pool stays widened after the last time it ran dry, in ms. */
const WIDE_FOR = 30_000;
const WIDEST = 64;

/**
 * Keeps a few things ready that take milliseconds to make: one is made at a time in the background, so that other work gets in between. A pool that
 * ran dry widens for a while.
 */
export class Pool<Item> {
  readonly #make: () => Promise<Item>;
  readonly #drop: (item: Item) => void;
  readonly #failed: (error: unknown) => void;
  readonly #size: number;
  readonly #wideFor: number;
  readonly #ready: Item[] = [];
  #target: number;
  #narrowing: ReturnType<typeof setTimeout> | undefined;
  #filling: Promise<void> | undefined;
  #closed = false;
  #ended = false;

  constructor(options: {
    size: number;
    make: () => Promise<Item>;
    drop: (item: Item) => void;
    failed: (error: unknown) => void;
    wideFor?: number;
  }) {
    this.#wideFor = options.wideFor ?? WIDE_FOR;
    this.#size = this.#target = options.size;
    this.#make = options.make;
    this.#drop = options.drop;
    this.#failed = options.failed;
  }

  /** How many are ready. */
  get ready(): number {
    return this.#ready.length;
  }

  /** Takes one that is ready, or undefined; either way the pool is filled again. */
  take(): Item | undefined {
    const item = this.#ready.shift();
    if (item === undefined && this.#size > 0) {
      this.#target = Math.min(Math.max(this.#target, 1) * 2, Math.max(WIDEST, this.#size));
      clearTimeout(this.#narrowing);
      this.#narrowing = setTimeout(() => this.#narrow(), this.#wideFor);
      this.#narrowing.unref();
    }
    this.fill();
    return item;
  }

  /** Puts one back that was taken and not used. */
  giveBack(item: Item): void {
    if (this.#closed) this.#drop(item);
    else this.#ready.unshift(item);
  }

  /** Starts filling, if that is not under way. */
  fill(): void {
    if (this.#closed || this.#filling !== undefined || this.#ready.length >= this.#target) return;
    this.#filling = this.#run().finally(() => (this.#filling = undefined));
  }

  /** Resolves when the pool is full, or cannot be filled now. */
  async full(): Promise<void> {
    this.fill();
    await this.#filling;
  }

  /** Drops what is ready and makes nothing more. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.#empty();
  }

  /** Drops what is ready and starts again, after what items are made of has changed; a pool that was closed stays so. */
  async renew(): Promise<void> {
    await this.#empty();
    if (this.#ended) return;
    this.#target = this.#size;
    this.#closed = false;
    this.fill();
  }

  async #empty(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#narrowing);
    await this.#filling;
    for (const item of this.#ready.splice(0)) this.#drop(item);
  }

  /** Back to the size it was made with: what is ready beyond that goes. */
  #narrow(): void {
    this.#target = this.#size;
    for (const item of this.#ready.splice(this.#size)) this.#drop(item);
  }

  async #run(): Promise<void> {
    // The caller is on a container's fast path: let it go first.
    await Bun.sleep(0);
    while (!this.#closed && this.#ready.length < this.#target) {
      try {
        const item = await this.#make();
        if (this.#closed) this.#drop(item);
        else this.#ready.push(item);
      } catch (error) {
        this.#failed(error);
        return;
      }
    }
  }
}
