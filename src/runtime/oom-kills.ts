import { watchFile } from "../linux/file-changes.ts";
import { noticeOom } from "../linux/oom-notice.ts";
import type { Cgroup } from "./cgroup.ts";

/** The kernel tells at most one change in 10 ms, and v1 tells before it kills: what follows a first one is read after these times. */
const LATER_MILLISECONDS = [4, 100];

/**
 * Counts the kills for want of memory in a cgroup, and tells of each. systemd removes a scope as soon as its last process has gone, so its counter
 * cannot be read after the end: it is read at each change, and where systemd was quicker the kernel's log knows (`linux/kernel-log.ts`). Other
 * cgroups stay until they are removed by us, and are read when asked.
 */
export class OomKills {
  readonly #cgroup: Cgroup;
  readonly #watch: Disposable | undefined;
  #seen = 0;
  #later: ReturnType<typeof setTimeout>[] = [];
  /** Called when there are more than before. */
  onMore: (() => void) | undefined;

  constructor(cgroup: Cgroup) {
    this.#cgroup = cgroup;
    const changed = (): void => this.#changed();
    try {
      const [file, limited] = [cgroup.eventsFile(), cgroup.limitedMemory()];
      if (file !== undefined) this.#watch = watchFile(file, changed);
      else if (limited !== undefined) this.#watch = noticeOom(limited, changed);
    } catch {
      // The container has ended already: an adopted one whose cgroup is gone. Or the kernel does not tell: then the end does.
    }
  }

  /** How many there were, ever, as far as can be told. */
  count(): number {
    return (this.#seen = Math.max(this.#seen, this.#cgroup.oomKills()));
  }

  close(): void {
    this.#watch?.[Symbol.dispose]();
    this.#later.forEach(clearTimeout);
  }

  #changed(): void {
    this.#look();
    if (this.#later.length > 0) return;
    this.#later = LATER_MILLISECONDS.map((time) => setTimeout(() => this.#look(), time));
    this.#later.push(setTimeout(() => (this.#later = []), Math.max(...LATER_MILLISECONDS)));
  }

  #look(): void {
    const before = this.#seen;
    if (this.count() > before) this.onMore?.();
  }
}
