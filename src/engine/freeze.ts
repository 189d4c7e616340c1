import { kindOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Containers } from "../containers/containers.ts";
import type { State } from "../state/state.ts";

const KIND = "freeze";

/** Lets containers stand still while something is copied. One at a time, so that none thaws what another one still needs. */
export class Freezer {
  readonly #state: State;
  readonly #containers: Containers;
  #last: Promise<void> = Promise.resolve();

  constructor({ state, containers }: { state: State; containers: Containers }) {
    this.#state = state;
    this.#containers = containers;
  }

  /** Pauses those that run, acts, and lets just those go on, whatever happens to the others. */
  async frozen(ids: readonly string[], act: () => Promise<void>): Promise<void> {
    const mine = this.#last.then(() => this.#frozen(ids, act));
    this.#last = mine.catch(() => undefined);
    await mine;
  }

  /** Lets go on what a daemon that died left standing. */
  async thawLeft(): Promise<void> {
    for (const { key } of this.#state.all<{ key: string }>("SELECT key FROM effects WHERE kind = ?", KIND)) await this.#thaw(key);
  }

  async #frozen(ids: readonly string[], act: () => Promise<void>): Promise<void> {
    const paused: string[] = [];
    try {
      for (const id of ids) if (await this.#freeze(id)) paused.push(id);
      await act();
    } finally {
      for (const id of paused) await this.#thaw(id);
    }
  }

  /** False for one that does not run, or that somebody else has paused: nothing of it writes. */
  async #freeze(id: string): Promise<boolean> {
    this.#state.write((tx) => tx.run("INSERT OR REPLACE INTO effects (kind, key, owner, data_json) VALUES (?, ?, ?, '{}')", KIND, id, id), {
      durable: false,
    });
    try {
      await this.#containers.pause(id);
      return true;
    } catch (error) {
      this.#forget(id);
      if (kindOf(error) === "conflict" || kindOf(error) === "not-found") return false;
      throw error;
    }
  }

  async #thaw(id: string): Promise<void> {
    try {
      await this.#containers.unpause(id);
    } catch (error) {
      // It has ended, or somebody let it go on already.
      logOf("engine").debug("{id} needs no thawing: {error}", { id, error });
    }
    this.#forget(id);
  }

  #forget(id: string): void {
    this.#state.write((tx) => tx.run("DELETE FROM effects WHERE kind = ? AND key = ?", KIND, id), { durable: false });
  }
}
