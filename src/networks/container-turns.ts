/** Lets what changes the networks of one container wait for its turn: what the one leaves is what the next one finds, in rows and kernel. */
export class ContainerTurns {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `work` when all that came before for this container is over; passes its result or error on. */
  async run<Result>(container: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(container);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last.set(container, promise);
    try {
      await before;
      return await work();
    } finally {
      resolve();
      if (this.#last.get(container) === promise) this.#last.delete(container);
    }
  }
}
