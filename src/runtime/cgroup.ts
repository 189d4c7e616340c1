import { existsSync, readFileSync, readdirSync } from "node:fs";
import { writeFileOnce } from "../linux/fd.ts";
import { LighterError } from "../base/errors.ts";
import { type CgroupHost, cgroupDirectories } from "./cgroup-host.ts";

/** How long freezing may take before it is called off. */
const FREEZE_MILLISECONDS = 10_000;
/** v1 shows no limit as the largest number of pages. */
const UNLIMITED = 2 ** 62;
/** How many milliseconds processes get before they are let go once more. */
const FREEZE_TRIES = 25;

/** The control group of one container, by its path below the roots. All reads are of files that the kernel makes up: they do not block. */
export class Cgroup {
  readonly #host: CgroupHost;
  readonly path: string;

  constructor(host: CgroupHost, path: string) {
    this.#host = host;
    this.path = path;
  }

  /** Its directory in every hierarchy. */
  directories(): string[] {
    return cgroupDirectories(this.#host, this.path);
  }

  /** How many processes the kernel has killed here for want of memory, ever; 0 where it does not count. */
  oomKills(): number {
    const text = this.#host.version === 2 ? this.#read("", "memory.events") : this.#read("memory", "memory.oom_control");
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  }

  /** v2: the file in which the kernel counts what happened for want of memory, here and below. */
  eventsFile(): string | undefined {
    return this.#host.version === 2 ? `${this.#host.unified}${this.path}/memory.events` : undefined;
  }

  /** v1: its directory in the hierarchy of `memory` when it has a limit; without one there is nothing to run out of. */
  limitedMemory(): string | undefined {
    if (this.#host.version === 2) return undefined;
    return Number(this.#read("memory", "memory.limit_in_bytes") || UNLIMITED) < UNLIMITED ? this.#directory("memory") : undefined;
  }

  /** Host pids of all processes in it and below, ascending. */
  pids(): number[] {
    const found = new Set<number>();
    const collect = (directory: string): void => {
      for (const line of readOr(`${directory}/cgroup.procs`).split("\n")) if (line !== "") found.add(Number(line));
      for (const child of childrenOf(directory)) collect(child);
    };
    for (const directory of this.#trees()) collect(directory);
    return [...found].sort((a, b) => a - b);
  }

  /** Every directory of it and below, deepest first: the order in which they can be removed. */
  removable(): string[] {
    const walk = (directory: string): string[] => [...childrenOf(directory).flatMap(walk), directory];
    return this.directories().filter(existsSync).flatMap(walk);
  }

  /** Freezes or thaws all processes; resolves when they are. Throws `unsupported` without the means. */
  async freeze(frozen: boolean): Promise<void> {
    const v2 = this.#host.version === 2;
    const directory = this.#directory(v2 ? "" : "freezer");
    if (directory === undefined) throw new LighterError("unsupported", "Cannot pause: this host has no freezer cgroup");
    const set = (freeze: boolean): void =>
      v2
        ? writeFileOnce(`${directory}/cgroup.freeze`, freeze ? "1" : "0")
        : writeFileOnce(`${directory}/freezer.state`, freeze ? "FROZEN" : "THAWED");
    const reached = (): boolean =>
      v2
        ? new RegExp(`^frozen ${frozen ? 1 : 0}$`, "m").test(readOr(`${directory}/cgroup.events`))
        : readOr(`${directory}/freezer.state`).trim() === (frozen ? "FROZEN" : "THAWED");
    set(frozen);
    const begun = performance.now();
    for (let tries = 1; !reached(); tries++) {
      if (performance.now() - begun > FREEZE_MILLISECONDS) {
        set(false);
        throw new LighterError("internal", `Cannot ${frozen ? "pause" : "resume"}: the processes did not follow within 10 s`);
      }
      await Bun.sleep(1);
      // v1 never gets there while a process forks on, or waits in execve for threads that are frozen already: now and then all go on for a moment.
      if (v2 || !frozen) continue;
      if (tries % FREEZE_TRIES === 0) {
        set(false);
        await Bun.sleep(10);
      }
      set(true);
    }
  }

  /** Lets frozen processes go, without waiting: on v1 they could not even die. Nothing happens where there is no such cgroup. */
  thaw(): void {
    const directory = this.#directory("freezer");
    if (this.#host.version === 2 || directory === undefined || !existsSync(directory)) return;
    writeFileOnce(`${directory}/freezer.state`, "THAWED");
  }

  /** v2's atomic kill; false where the kernel has none. */
  killAll(): boolean {
    if (this.#host.version !== 2) return false;
    try {
      writeFileOnce(`${this.#host.unified}${this.path}/cgroup.kill`, "1");
      return true;
    } catch {
      return false;
    }
  }

  /** The hierarchies that hold every process: the one of v2, or v1's pids (else any). */
  #trees(): string[] {
    if (this.#host.version === 2) return this.directories();
    return [this.#directory("pids") ?? this.#directory("systemd") ?? this.directories()[0] ?? ""];
  }

  #directory(controller: string): string | undefined {
    if (this.#host.version === 2) return this.#host.unified + this.path;
    const mount = this.#host.mounts.get(controller);
    return mount === undefined ? undefined : mount + this.path;
  }

  #read(controller: string, file: string): string {
    const directory = this.#directory(controller);
    return directory === undefined ? "" : readOr(`${directory}/${file}`);
  }
}

function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function childrenOf(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${directory}/${entry.name}`);
  } catch {
    return [];
  }
}
