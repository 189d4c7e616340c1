import { LighterError, kindOf, messageOf } from "../base/errors.ts";
import { poller } from "../linux/epoll.ts";
import { closeFd, makePipe, memoryFile, readFromStart, writeAll } from "../linux/fd.ts";
import type { SystemError } from "../linux/libc.ts";
import { reap, openPidfd, signalPidfd } from "../linux/pidfd.ts";
import type { Overlay } from "../linux/spawn-protocol.ts";
import { type Context, globalArguments, needsOwnMounts } from "./context.ts";
import type { RuntimeRecord, StdinMode } from "./runtime.ts";
import { searchPath } from "./search-path.ts";
import { watchForStuckMonitor } from "./stuck-monitor.ts";

/** What conmon is to do. */
export interface ConmonOptions {
  id: string;
  runtime: RuntimeRecord;
  /** Bundle, working directory, and where the attach socket, fifos and exit file go. */
  directory: string;
  terminal: boolean;
  stdin: StdinMode;
  logFile: string | undefined;
  overlay?: Overlay;
  /** A checkpoint that the processes go on from. */
  restore?: string;
  /** A file with the process of an exec. */
  processFile?: string;
  signal?: AbortSignal | undefined;
  /** exec: called when the attach socket is there and the process not yet. */
  onAttachable?: (monitorPid: number) => void;
}

/** A conmon that is up, and the pid of the process that it watches. */
export interface Conmon {
  monitorPid: number;
  pid: number;
}

/** What conmon says on its sync pipe: a pid, or a failure with the runtime's stderr. */
interface SyncMessage {
  data: number;
  message?: string;
}

/** The OCI runtime refused: `output` is what it printed. */
export class RuntimeRefusal extends Error {
  readonly output: string;
  constructor(output: string) {
    super("The OCI runtime failed");
    this.output = output;
  }
}

/** A conmon that is being started: it reads its arguments, opens the log, and waits to be told to go on. */
export interface WaitingConmon {
  /** What it was started with. */
  argv: readonly string[];
  /** Its pid, or why there is none. */
  spawned: Promise<number>;
  syncRead: number;
  startWrite: number;
  attachRead: number;
  output: number;
}

/** Spawns conmon and returns at once. It is {@link startConmon}'s then, or {@link dropConmon}'s. */
export function beginConmon(context: Context, options: ConmonOptions): WaitingConmon {
  const { id } = options;
  const argv = argumentsOf(context, options);
  const [syncRead, syncWrite] = makePipe();
  const [startRead, startWrite] = makePipe();
  const [attachRead, attachWrite] = options.onAttachable ? makePipe() : [-1, -1];
  const output = memoryFile("conmon");
  const spawned = spawnMonitor(context, id, {
    argv,
    env: [
      `PATH=${searchPath()}`,
      "_OCI_SYNCPIPE=3",
      "_OCI_STARTPIPE=4",
      // A socket for the terminal: relative, as its path may have 107 bytes.
      "TMPDIR=.",
      ...(options.onAttachable ? ["_OCI_ATTACHPIPE=5"] : []),
    ],
    cwd: options.directory,
    fds: [-1, -1, output, syncWrite, startRead, ...(options.onAttachable ? [attachWrite] : [])],
    privateMounts: needsOwnMounts(context, options.runtime),
    ownNull: givesAwayNull(options),
    ...(options.overlay ? { overlay: options.overlay } : {}),
  })
    .then((pid) => {
      context.trace(id, "spawned");
      context.placeMonitor(pid);
      return pid;
    })
    .finally(() => closeFd(syncWrite, startRead, attachWrite));
  // Whoever goes on learns it; nobody else needs to.
  spawned.catch(() => undefined);
  return { argv, spawned, syncRead, startWrite, attachRead, output };
}

/** Whether crun 1.8 gives the null device that conmon opens to the user of an exec, or of a user namespace: the host's, for good. */
function givesAwayNull({ runtime, processFile, overlay }: ConmonOptions): boolean {
  return runtime.kind === "crun" && (processFile !== undefined || overlay?.users !== undefined);
}

/** Ends a conmon that is not wanted after all; resolves when it is gone. Never rejects. */
export async function dropConmon({ spawned, syncRead, startWrite, attachRead, output }: WaitingConmon): Promise<void> {
  const pid = await spawned.catch(() => undefined);
  if (pid !== undefined) await stop(pid);
  closeFd(syncRead, startWrite, attachRead, output);
}

/** Whether a conmon that was begun is the one that these options want. */
export function isAsked(context: Context, { argv }: WaitingConmon, options: ConmonOptions): boolean {
  return Bun.deepEquals(argv, argumentsOf(context, options));
}

/**
 * Lets conmon run the OCI runtime's `create` or `exec`, and waits for its answer.
 * Throws {@link RuntimeRefusal}; conmon is then gone and reaped. An abort kills it.
 */
export async function startConmon(context: Context, options: ConmonOptions, waiting = beginConmon(context, options)): Promise<Conmon> {
  const { signal } = options;
  const { spawned, syncRead, startWrite, attachRead, output } = waiting;
  try {
    const monitorPid = await spawned;
    goOn(startWrite);
    if (options.onAttachable) {
      // An exec's conmon waits twice on this pipe: at once, and for somebody to be attached.
      await readMessage(attachRead, monitorPid, signal);
      options.onAttachable(monitorPid);
      writeAll(startWrite, Buffer.of(1));
    }
    const unwatch = watchForStuckMonitor(options.directory, monitorPid);
    const message = await readMessage(syncRead, monitorPid, signal).finally(unwatch);
    if (message === undefined || message.data <= 0) {
      await ended(monitorPid);
      throw new RuntimeRefusal(message?.message ?? readFromStart(output).toString());
    }
    return { monitorPid, pid: message.data };
  } finally {
    closeFd(syncRead, startWrite, attachRead, output);
  }
}

function goOn(startWrite: number): void {
  try {
    writeAll(startWrite, Buffer.of(1));
  } catch (error) {
    // It has died: the end of its sync pipe tells.
    if ((error as SystemError).code !== "EPIPE") throw error;
  }
}

async function spawnMonitor(context: Context, id: string, job: Parameters<Context["spawner"]["spawn"]>[0]): Promise<number> {
  try {
    return await context.spawner.spawn(job);
  } catch (error) {
    const kind = kindOf(error) === "no-space" ? "no-space" : "internal";
    throw new LighterError(kind, `Cannot start the monitor of container "${id}": ${messageOf(error)}`, { cause: error });
  }
}

function argumentsOf(context: Context, options: ConmonOptions): string[] {
  const { id, runtime, directory, terminal, stdin } = options;
  const argv = [context.conmon, "--sync", "--api-version", "-c", id, "-u", id, "-r", context.programOf(runtime), "-b", directory];
  argv.push("-p", `${directory}/pidfile`, "--persist-dir", directory, "--full-attach", "--no-sync-log");
  argv.push("-l", options.logFile === undefined ? "none" : `k8s-file:${options.logFile}`);
  for (const argument of globalArguments(context, runtime)) argv.push("--runtime-arg", argument);
  if (context.driver === "systemd") argv.push("-s");
  if (terminal) argv.push("-t");
  if (stdin !== "none" && !terminal) argv.push("-i");
  // Without it, any disconnect of ours ends the process's input; with it, its end can never be sent.
  if (terminal || stdin === "open") argv.push("--leave-stdin-open");
  if (options.processFile !== undefined) argv.push("-e", "--exec-process-spec", options.processFile);
  if (options.restore !== undefined) argv.push("--restore", options.restore);
  if (options.onAttachable) argv.push("--exec-attach");
  return argv;
}

/** The next line of a pipe that conmon writes to; undefined at its end. An abort kills the monitor (and with it the OCI runtime). */
function readMessage(fd: number, monitorPid: number, signal: AbortSignal | undefined): Promise<SyncMessage | undefined> {
  return new Promise((resolve, reject) => {
    let text = "";
    const finish = (act: () => void): void => {
      source.close();
      signal?.removeEventListener("abort", abort);
      act();
    };
    const source = poller().add(fd, "stream", (event) => {
      text += Buffer.from(event.data as ArrayBuffer).toString();
      const line = text.indexOf("\n");
      if (line >= 0) finish(() => resolve(parseMessage(text.slice(0, line))));
      else if (event.ended === true) finish(() => resolve(undefined));
    });
    const abort = (): void =>
      finish(() => {
        void stop(monitorPid).then(() => reject(new LighterError("cancelled", "The start of the container was cancelled")));
      });
    if (signal?.aborted === true) abort();
    else signal?.addEventListener("abort", abort);
  });
}

function parseMessage(line: string): SyncMessage | undefined {
  try {
    return JSON.parse(line) as SyncMessage;
  } catch {
    return { data: -1, message: line };
  }
}

/** Kills a child of ours and waits for its end. */
export async function stop(pid: number): Promise<void> {
  const fd = openPidfd(pid);
  if (fd === undefined) return;
  signalPidfd(fd, 9);
  closeFd(fd);
  await ended(pid);
}

/** Waits for a child of ours to end; its wait status, if it was there to be had. */
export async function ended(pid: number): Promise<number | undefined> {
  const fd = openPidfd(pid);
  if (fd === undefined) return reap(pid);
  await new Promise<void>((resolve) => {
    const source = poller().add(fd, "ready", () => {
      source.close();
      resolve();
    });
  });
  closeFd(fd);
  return reap(pid);
}
