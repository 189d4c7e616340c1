import type { ExecTask, Task } from "../runtime/runtime.ts";
import { Lock } from "./lock.ts";
import type { PendingAttachment } from "./pending.ts";

/** How a wait ends. */
export interface WaitResult {
  statusCode: number;
  error?: string;
}

/** What the daemon holds in memory of one container; all of it can be made anew from the row and the kernel. */
export class Live {
  readonly id: string;
  readonly lock = new Lock();
  /** Its process, from create to the end of what an exit entails. */
  task: Task | undefined;
  /** Clients that joined before there was a process. */
  readonly pending = new Set<PendingAttachment>();
  readonly exitWaiters = new Set<(result: WaitResult) => void>();
  readonly removeWaiters = new Set<(result: WaitResult) => void>();
  /** Its log's files are changed by one at a time. */
  readonly logLock = new Lock();
  /** How often its log was rotated since the daemon began: see `log-chain.ts`. */
  rotations = 0;
  /** Execs that run, by id. */
  readonly execs = new Map<string, ExecTask>();
  /** Milliseconds to wait before the next restart by policy. */
  backoff = 0;
  /** Cancels the restart that is waited for. */
  cancelRestart: (() => void) | undefined;
  /** A stop, kill or remove of the user is under way: the exit that follows is no reason to restart. */
  stopRequested = false;
  /** A restart of the user is under way: the exit that follows does not remove a `--rm` container. */
  restartRequested = false;
  /** Remove is under way: a second one is refused. */
  removing = false;
  /** Set while a commit has it frozen: resolves when it goes on. */
  thawed: Promise<void> | undefined;
  /** How many kills for want of memory were told of this run. */
  oomTold = 0;
  /** Resolves once all that an exit entails is done; undefined while nothing runs. */
  exitHandled: Promise<void> | undefined;

  constructor(id: string) {
    this.id = id;
  }

  /** Tells everyone who waits for the next exit. */
  tellExit(result: WaitResult): void {
    for (const waiter of [...this.exitWaiters]) waiter(result);
    this.exitWaiters.clear();
  }

  /** Tells everyone who waits for the container's end. */
  tellRemoved(result: WaitResult): void {
    for (const waiter of [...this.removeWaiters]) waiter(result);
    this.removeWaiters.clear();
  }
}
