import { kindOf } from "../base/errors.ts";

/** Work that several want at the same time is done once. */
export class SharedWork<T> {
  readonly #running = new Map<string, Promise<T>>();

  /** Joins what runs under this key, or begins it. Who began it may cancel it: the others then begin anew. */
  async run(key: string, begin: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (;;) {
      const running = this.#running.get(key);
      if (running === undefined) return await this.#begin(key, begin);
      try {
        return await running;
      } catch (error) {
        if (kindOf(error) !== "cancelled" || signal?.aborted === true) throw error;
      }
    }
  }

  async #begin(key: string, begin: () => Promise<T>): Promise<T> {
    const work = begin();
    this.#running.set(key, work);
    try {
      return await work;
    } finally {
      if (this.#running.get(key) === work) this.#running.delete(key);
    }
  }
}
