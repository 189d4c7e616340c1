/** A queue of one: whoever runs, runs alone, in the order in which they came. */
export class Lock {
  #tail: Promise<unknown> | undefined;

  /** Whether somebody holds it or waits for it. */
  get busy(): boolean {
    return this.#tail !== undefined;
  }

  /** Runs `work` once all that came before is over; passes its result or error on. A free lock starts it in the same turn. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#tail;
    const result = before === undefined ? work() : before.then(work, work);
    const tail = result.then(nothing, nothing).then(() => {
      if (this.#tail === tail) this.#tail = undefined;
    });
    this.#tail = tail;
    return result;
  }
}

function nothing(): void {}
