import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { checkAnswers, isMounted, mountVolume, unmountVolume } from "./local-mount.ts";
import type { VolumeRow } from "./rows.ts";

/** Whether a volume's files are somewhere else, mounted at its place. */
export function isForeign(row: Pick<VolumeRow, "config">): boolean {
  return row.config.options?.["device"] !== undefined;
}

/** Others may pass through to a volume's data, but not list the volumes. */
export function makeDirectory(data: string): void {
  mkdirSync(join(data, "../.."), { recursive: true, mode: 0o701 });
  mkdirSync(join(data, ".."), { recursive: true, mode: 0o701 });
  mkdirSync(data, { recursive: true, mode: 0o755 });
}

interface Mount {
  row: Pick<VolumeRow, "name" | "config">;
  path: string;
}

interface MountUse {
  /** The container that uses it from now on, until it is released. */
  user?: string;
  signal?: AbortSignal;
}

/**
 * Volumes that are mounted from elsewhere: from their first use to the end of the last, as Docker's. Who uses one is not stored: a daemon's start finds it
 * out from the containers that run.
 */
export class VolumeMounts {
  /** Containers by volume. */
  readonly #users = new Map<string, Set<string>>();
  /** What is being done to a volume, the last in the row. */
  readonly #turns = new Map<string, Promise<void>>();
  readonly #isRead: (name: string) => boolean;
  readonly #find: (name: string) => Mount | undefined;

  /**
   * @param isRead whether somebody copies a volume's files, who tells by {@link settle} that that is over
   * @param find the volume of a name, and where its files are
   */
  constructor({ isRead, find }: { isRead: (name: string) => boolean; find: (name: string) => Mount | undefined }) {
    this.#isRead = isRead;
    this.#find = find;
  }

  /** Mounts a volume, one after the other where several ask, and sees whether what is mounted answers. A dead server's directory is not touched. */
  async use({ row, path }: Mount, { user, signal }: MountUse): Promise<void> {
    const isNew = user !== undefined && this.#add(row.name, user);
    const options = row.config.options ?? {};
    const cancel = signal === undefined ? {} : { signal };
    try {
      await this.#inTurn(row.name, signal, async () => {
        if (isMounted(path)) return checkAnswers(row.name, path, options, cancel);
        makeDirectory(path);
        await mountVolume(path, options, cancel);
      });
    } catch (error) {
      if (isNew) this.#users.get(row.name)?.delete(user);
      // What stands there and does not answer is no use to the next one either.
      void this.settle(row.name);
      throw error;
    }
  }

  /** Says that a container uses these volumes of all that it has, and unmounts the others where it was the last. Never fails: what stays is logged. */
  async release(container: string, keep: ReadonlySet<string> = new Set()): Promise<void> {
    const left: string[] = [];
    for (const [name, users] of this.#users) {
      if (keep.has(name) || !users.delete(container)) continue;
      left.push(name);
    }
    await Promise.all(left.map((name) => this.settle(name)));
  }

  /** Notes what containers that run use, and unmounts what nobody does. */
  async restore(used: readonly { volume: string; container: string }[], all: readonly string[]): Promise<void> {
    for (const { volume, container } of used) this.#add(volume, container);
    await Promise.all(all.map((name) => this.settle(name)));
  }

  /** Unmounts a volume that nobody uses any more. Never fails: one that cannot be unmounted now is when it is used the next time, or by the next daemon. */
  async settle(name: string): Promise<void> {
    if (this.#isUsed(name)) return;
    this.#users.delete(name);
    try {
      await this.#inTurn(name, undefined, async () => {
        const mount = this.#find(name);
        if (mount === undefined || !isForeign(mount.row) || this.#isUsed(name)) return;
        await unmountVolume(name, mount.path, mount.row.config.options ?? {});
      });
    } catch (error) {
      logOf("volumes").warn("the volume {name} stays mounted: {error}", { name, error: messageOf(error) });
    }
  }

  #isUsed(name: string): boolean {
    return (this.#users.get(name)?.size ?? 0) > 0 || this.#isRead(name);
  }

  #add(name: string, container: string): boolean {
    const users = this.#users.get(name) ?? new Set();
    this.#users.set(name, users);
    const isNew = !users.has(container);
    users.add(container);
    return isNew;
  }

  async #inTurn(name: string, signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
    const before = this.#turns.get(name) ?? Promise.resolve();
    const mine = endOrAbort(before, signal).then(work);
    const settled: Promise<void> = Promise.allSettled([before, mine]).then(() => {
      if (this.#turns.get(name) === settled) this.#turns.delete(name);
    });
    this.#turns.set(name, settled);
    await mine;
  }
}

/** Resolves when something is over that never fails, or the signal comes: who does not want it any more does not wait for others. */
function endOrAbort(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      signal?.removeEventListener("abort", over);
      resolve();
    };
    signal?.addEventListener("abort", over);
    if (signal?.aborted === true) over();
    void work.then(over);
  });
}
