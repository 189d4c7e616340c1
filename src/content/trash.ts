import { lstatSync, renameSync } from "node:fs";
import { readdir, readFile, realpath, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { logOf } from "../base/log.ts";

/** What was thrown away within this many milliseconds is deleted in one go, after the rush. */
const REST = 50;

/**
 * Deletes trees in two steps: a rename, after which the path is free, and the deletion itself on another thread.
 * What a crash leaves in the trash is deleted when it is opened again.
 */
export class Trash {
  readonly #directory: string;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #emptying: Promise<void> = Promise.resolve();
  #foreign: string[] = [];

  constructor(directory: string) {
    this.#directory = directory;
    this.#schedule();
  }

  /** Frees the path at once. Nothing there is fine. Takes about 20 microseconds. */
  take(path: string): void {
    const name = newId();
    try {
      renameSync(path, join(this.#directory, name));
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === "ENOENT" && lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
      if (code !== "EXDEV") throw error;
      // Another file system: a name beside it.
      const aside = `${path}.${name.slice(0, 12)}.deleted`;
      renameSync(path, aside);
      this.#foreign.push(aside);
    }
    this.#schedule();
  }

  /** Resolves once all that was thrown away so far is deleted. */
  async emptied(): Promise<void> {
    if (this.#timer !== undefined) this.#run();
    await this.#emptying;
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => this.#run(), REST);
    this.#timer.unref();
  }

  #run(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#emptying = this.#emptying.then(() => this.#empty());
  }

  async #empty(): Promise<void> {
    const foreign = this.#foreign;
    this.#foreign = [];
    const names = await readdir(this.#directory).catch(() => []);
    if (names.length + foreign.length === 0) return;
    const mounts = await mountPoints().catch((error: unknown) => {
      logOf("content").warn("Cannot tell what is mounted: {error}", { error });
    });
    if (mounts === undefined) return void this.#foreign.push(...foreign);
    for (const path of [...names.map((name) => join(this.#directory, name)), ...foreign]) {
      try {
        await refuseMounts(path, mounts);
        await rm(path, { recursive: true, force: true });
      } catch (error) {
        logOf("content").warn("Cannot delete {path}: {why}", { path, why: messageOf(error) });
      }
    }
  }
}

/** What is mounted below is somebody else's, and its files are not for deletion. Throws `conflict`. */
async function refuseMounts(path: string, mounts: readonly string[]): Promise<void> {
  const name = join(await realpath(dirname(path)), basename(path));
  const inside = mounts.find((point) => point.startsWith(`${name}/`));
  if (inside !== undefined)
    throw new LighterError("conflict", `something is mounted on "${inside}": unmount it, and this goes with what is removed next`);
}

/** Where something is mounted, by real names: proc_pid_mountinfo(5). */
async function mountPoints(): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.map((line) =>
    (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_whole, code: string) => String.fromCharCode(parseInt(code, 8))),
  );
}
