/** Work that serves all who asked before it began: who asks while it runs shares the next run with all others who do. */
export class SharedRun {
  readonly #work: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  /** Resolves once a run that began after this call has ended; fails as that one does. */
  run(): Promise<void> {
    if (this.#running === undefined) return this.#begin();
    const after = (): Promise<void> => {
      this.#next = undefined;
      return this.#begin();
    };
    return (this.#next ??= this.#running.then(after, after));
  }

  #begin(): Promise<void> {
    const mine = this.#work().finally(() => {
      if (this.#running === mine) this.#running = undefined;
    });
    return (this.#running = mine);
  }
}
