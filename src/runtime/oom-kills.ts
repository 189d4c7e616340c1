import { watchFile } from "../linux/file-changes.ts";
import type { Cgroup } from "./cgroup.ts";

/** The kernel tells at most one change in 10 ms; what follows a first one is read after this time. */
const LATER_MILLISECONDS = 4;

/**
 * Counts the kills for want of memory in a cgroup. systemd removes a scope as soon as its last process has gone, so its counter cannot be
 * read after the end: it is read at each change, and where systemd was quicker the kernel's log knows (`linux/kernel-log.ts`). Other cgroups stay until they are removed by us, and are read when asked.
 */
export class OomKills {
  readonly #cgroup: Cgroup;
  readonly #watch: Disposable | undefined;
  #seen = 0;
  #later: ReturnType<typeof setTimeout> | undefined;

  constructor(cgroup: Cgroup, { vanishes }: { vanishes: boolean }) {
    this.#cgroup = cgroup;
    const file = vanishes ? cgroup.eventsFile() : undefined;
    if (file === undefined) return;
    try {
      this.#watch = watchFile(file, () => this.#changed());
    } catch {
      // The container has ended already: an adopted one whose scope is gone.
    }
  }

  /** How many there were, ever, as far as can be told. */
  count(): number {
    return (this.#seen = Math.max(this.#seen, this.#cgroup.oomKills()));
  }

  close(): void {
    this.#watch?.[Symbol.dispose]();
    clearTimeout(this.#later);
  }

  #changed(): void {
    this.count();
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.count();
    }, LATER_MILLISECONDS);
  }
}
