import { readFileSync, statSync } from "node:fs";
import { type Nanoseconds, now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import type { PollEvent } from "../linux/epoll-protocol.ts";
import { type Source, poller } from "../linux/epoll.ts";
import { closeFd } from "../linux/fd.ts";
import { connectPackets } from "../linux/packet-socket.ts";
import { codeOfStatus, exitStatusOf, openPidfd, reap, signalPidfd } from "../linux/pidfd.ts";
import { type ProcessName, isAlive, zombieStatus } from "../linux/process.ts";
import { resizeTerminalOf } from "../linux/terminal.ts";
import { hasAcceptedPackets, narrowSockets, widenSockets } from "../linux/send-buffer.ts";
import type { Attachment, OutputSink, StreamId, TerminalSize } from "../wire/stream.ts";
import { Fanout } from "./fanout.ts";
import { type Input, openInput } from "./input.ts";
import type { Exit, StdinMode } from "./runtime.ts";

/** One packet of the monitor is 8 KiB of output and a byte; the socket must take it whole. */
const NARROW_BYTES = 16 << 10;
/** After so much output, what follows goes to the one client past the main thread. */
const BULK_BYTES = 256 << 10;
/** What the monitor may send ahead then: more at once costs everybody less. */
const WIDE_BYTES = 512 << 10;
/** Output that nobody has asked for yet is kept this long after the start of an exec. */
const GRACE_MILLISECONDS = 100;
/** How long a monitor may take to end after its process; then its exit file decides, or the kernel. */
const MONITOR_MILLISECONDS = 10_000;
/** How often a monitor is looked at that has not taken the connection yet: some seconds. */
const ACCEPT_TRIES = 300;
const ACCEPT_MILLISECONDS = 10;
/** A monitor that is gone may be seen a moment before its process. */
const RACE_MILLISECONDS = 50;

export interface MonitoredOptions {
  /** conmon's directory: its attach socket and exit file. */
  directory: string;
  init: ProcessName;
  monitor: ProcessName;
  stdin: StdinMode;
  terminal: boolean;
  /** Keep output for a moment until the first client has joined. */
  keepEarly: boolean;
  /** The connection, where it had to be made before the process was known. */
  socket?: number;
}

/** A process and its conmon: the one connection that is held to it, its clients, and how both end. */
export class Monitored {
  readonly #options: MonitoredOptions;
  readonly #fanout = new Fanout();
  readonly #initFd: number | undefined;
  readonly #monitorFd: number | undefined;
  readonly #socket: number;
  readonly #watches: Source[] = [];
  #output: Source | undefined;
  #input: Input | undefined;
  #initGone = false;
  #monitorGone = false;
  #outputEnded = false;
  /** Bytes that have come through the main thread since they last went past it. */
  #through = 0;
  #wide = false;
  #early: { stream: StreamId; data: Uint8Array }[] | undefined;
  #finished = false;
  #code: number | undefined;
  /** When the process was seen to end; files carry times of the kernel's coarse clock, up to 4 ms too early. */
  #seen: Nanoseconds | undefined;
  readonly #exited = Promise.withResolvers<Omit<Exit, "oomKilled">>();
  readonly #lost = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  /** Resolves when the process is gone and all its output is in the log and with the clients. */
  readonly exited = this.#exited.promise;
  /** Resolves when the monitor is known to have died first. */
  readonly monitorLost = this.#lost.promise;

  /** Opens what is still there; what is gone is taken as ended. Never throws. */
  constructor(options: MonitoredOptions) {
    this.#options = options;
    this.#fanout.onRelief = () => this.#output?.release();
    this.#fanout.onChange = () => this.#relayNoMore();
    this.#initFd = openNamed(options.init);
    this.#monitorFd = openNamed(options.monitor);
    this.#socket = options.socket ?? (this.#monitorFd === undefined ? -1 : connectOrNot(`${options.directory}/attach`));
    this.#outputEnded = this.#socket < 0;
    if (options.keepEarly) {
      this.#early = [];
      setTimeout(() => this.#giveEarly(), GRACE_MILLISECONDS);
    }
    if (this.#socket >= 0) {
      this.#output = poller().add(this.#socket, "packets", (event) => this.#take(event));
      if (options.stdin !== "none") this.#input = this.#openInput(this.#socket, this.#output);
    }
    this.#watch(this.#initFd, () => this.#onInitGone());
    this.#watch(this.#monitorFd, () => this.#onMonitorGone());
  }

  get alive(): boolean {
    return !this.#initGone;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** The monitor's pidfd while it lives. */
  get monitorPidfd(): number | undefined {
    return this.#monitorGone ? undefined : this.#monitorFd;
  }

  /** False when the process is gone. */
  signal(signal: number): boolean {
    return !this.#initGone && this.#initFd !== undefined && signalPidfd(this.#initFd, signal);
  }

  killMonitor(): void {
    if (!this.#monitorGone && this.#monitorFd !== undefined) signalPidfd(this.#monitorFd, 9);
  }

  /** Kills the monitor, whose work is done, and resolves when it is gone and its mounts with it, or does not go. */
  async endMonitor(): Promise<void> {
    this.killMonitor();
    const patience = setTimeout(() => this.#ended.resolve(), MONITOR_MILLISECONDS);
    await this.#ended.promise;
    clearTimeout(patience);
  }

  /** See `Task.narrowOutput`. */
  narrowOutput(monitor: number): boolean {
    this.#relayNoMore();
    this.#wide = false;
    this.#output?.single(true);
    return this.monitorPidfd === undefined || narrowSockets({ pid: monitor, pidfd: this.monitorPidfd }, NARROW_BYTES) > 0;
  }

  /**
   * Resolves when the monitor has taken the connection. Of a process that starts and ends before, its output would be in the log alone: a monitor that
   * learns of the end while it looks at its children does not look at its socket any more. With nobody joined there is nobody to lose it.
   */
  async accepted(): Promise<void> {
    if (this.#fanout.size === 0) return;
    const { pid } = this.#options.monitor;
    for (let tries = 0; tries < ACCEPT_TRIES && this.#socket >= 0; tries++) {
      const pidfd = this.monitorPidfd;
      if (pidfd === undefined || hasAcceptedPackets({ pid, pidfd }) !== false) return;
      await Bun.sleep(Math.min(tries, ACCEPT_MILLISECONDS));
    }
  }

  drainOutput(): void {
    this.#fanout.loosen("drop");
  }

  attach(sink: OutputSink, want: { stdin: boolean; stdout: boolean; stderr: boolean }): Attachment {
    const streams = new Set<StreamId>();
    if (want.stdout) streams.add(1);
    if (want.stderr) streams.add(2);
    const { leave, ended } = this.#fanout.join(sink, streams);
    this.#giveEarly();
    const input = want.stdin ? this.#input : undefined;
    let left = false;
    return {
      write: async (data) => {
        if (!left) await input?.write(data);
      },
      closeInput: () => {
        if (!left) input?.end();
      },
      detach: () => {
        left = true;
        leave();
      },
      ended,
    };
  }

  /** Sets the size of the process's terminal. Throws `conflict` when it has none any more. */
  resize(size: TerminalSize): void {
    const { pid } = this.#options.monitor;
    try {
      // By the kernel, not by conmon's fifo: two sizes in quick succession are read there as the first one twice.
      if (this.#options.terminal && !this.#monitorGone && this.#monitorFd !== undefined && resizeTerminalOf(pid, this.#monitorFd, size))
        return;
    } catch (error) {
      if (isAlive(this.#options.monitor)) throw error;
    }
    throw new LighterError("conflict", "Cannot resize the terminal: the process has none");
  }

  /** Lets go of all descriptors; `exited` is resolved first if it is not yet. */
  close(): void {
    if (!this.#finished) this.#finish("the container was removed before its end was seen");
    for (const watch of this.#watches) watch.close();
    this.#input?.close();
    this.#output?.close();
    this.#fanout.end();
    closeFd(this.#socket, this.#initFd ?? -1, this.#monitorFd ?? -1);
  }

  #openInput(socket: number, output: Source): Input {
    const { stdin, terminal, init, monitor } = this.#options;
    const pipe =
      terminal || this.#monitorFd === undefined ? undefined : { pid: init.pid, monitor: monitor.pid, monitorPidfd: this.#monitorFd };
    return openInput({ socket, output, canEnd: stdin === "once" && !terminal, alive: () => !this.#initGone, pipe });
  }

  #take(event: PollEvent): void {
    if (event.passed === undefined) this.#deliver(event);
    else if (!this.#fanout.passed(event.passed, event.data && new Uint8Array(event.data))) this.#relayNoMore();
    if (event.ended === true) {
      this.#outputEnded = true;
      this.#settle();
    }
    if (this.#early || this.#fanout.full) this.#output?.hold();
    else if (this.#through >= BULK_BYTES && !this.#outputEnded) this.#relay();
  }

  #deliver(event: PollEvent): void {
    const runs = event.runs ?? [];
    for (let i = 0; i < runs.length; i += 3) {
      const [stream, start = 0, end = 0] = runs.slice(i, i + 3);
      const data = new Uint8Array(event.data as ArrayBuffer, start, end - start);
      // conmon's numbers are 2 for stdout and 3 for stderr.
      const id: StreamId = stream === 3 ? 2 : 1;
      if (this.#early) this.#early.push({ stream: id, data });
      else this.#fanout.deliver(id, data);
      this.#through += data.length;
    }
  }

  #relay(): void {
    this.#through = 0;
    const lent = this.#fanout.lend(() => this.#relayNoMore());
    // conmon's numbers are one more.
    if (lent === undefined || this.#output?.relay({ ...lent, streams: [...lent.streams].map((id) => id + 1) }) !== true) return;
    const pidfd = this.monitorPidfd;
    if (!this.#wide && pidfd !== undefined) widenSockets({ pid: this.#options.monitor.pid, pidfd }, WIDE_BYTES);
    this.#wide = true;
  }

  #relayNoMore(): void {
    this.#output?.relay(undefined);
  }

  #giveEarly(): void {
    const early = this.#early;
    if (!early) return;
    this.#early = undefined;
    for (const { stream, data } of early) this.#fanout.deliver(stream, data);
    if (!this.#fanout.full) this.#output?.release();
    this.#settle();
  }

  #watch(fd: number | undefined, gone: () => void): void {
    if (fd === undefined) queueMicrotask(gone);
    else this.#watches.push(poller().add(fd, "ready", gone));
  }

  #onInitGone(): void {
    this.#initGone = true;
    this.#fanout.loosen("last");
    if (this.#initFd !== undefined) {
      this.#seen = now();
      void this.#learnCode(this.#initFd);
    }
    if (!this.#monitorGone) setTimeout(() => this.#finish(), MONITOR_MILLISECONDS).unref();
    this.#settle();
  }

  /** The kernel tells the code while nobody has reaped the process, and (from 6.15) by its pidfd afterwards. */
  async #learnCode(fd: number): Promise<void> {
    for (let tries = 0; tries < 20 && !this.#finished; tries++) {
      const status = zombieStatus(this.#options.init) ?? exitStatusOf(fd);
      if (status !== undefined) {
        this.#code = codeOfStatus(status);
        return;
      }
      await Bun.sleep(tries);
    }
  }

  #onMonitorGone(): void {
    this.#monitorGone = true;
    this.#ended.resolve();
    reap(this.#options.monitor.pid);
    if (!this.#initGone) setTimeout(() => this.#judgeMonitor(), RACE_MILLISECONDS);
    this.#settle();
  }

  #judgeMonitor(): void {
    if (!this.#initGone && !this.#finished) this.#lost.resolve();
  }

  #settle(): void {
    if (!this.#initGone || !this.#outputEnded || this.#early) return;
    // The file is the last that a monitor does; its own end, with all the mounts that it holds, takes a millisecond or two more.
    if (this.#exitFile() !== undefined) this.#finish();
    else if (!this.#monitorGone) return;
    else if (this.#code === undefined && this.#initFd !== undefined) setTimeout(() => this.#finish(), RACE_MILLISECONDS);
    else this.#finish();
  }

  #finish(otherwise = "the monitor of the container was killed, and the kernel does not tell the exit code"): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#giveEarly();
    this.#fanout.end();
    this.#exited.resolve(this.#exitFile() ?? this.#guess(otherwise));
  }

  #guess(otherwise: string): Omit<Exit, "oomKilled"> {
    const time = this.#seen ?? now();
    if (this.#code !== undefined) return { code: this.#code, time };
    return { code: 255, time, unknown: otherwise };
  }

  /**
   * conmon writes it by rename when all output is in the log: its content is the code, its time the true one
   * for an end that nobody saw.
   */
  #exitFile(): Omit<Exit, "oomKilled"> | undefined {
    try {
      const path = `${this.#options.directory}/exit`;
      const code = Number(readFileSync(path, "utf8"));
      return { code: code & 0xff, time: this.#seen ?? statSync(path, { bigint: true }).mtimeNs };
    } catch {
      return undefined;
    }
  }
}

function openNamed(name: ProcessName): number | undefined {
  const fd = openPidfd(name.pid);
  if (fd === undefined || isAlive(name)) return fd;
  closeFd(fd);
  return undefined;
}

function connectOrNot(path: string): number {
  try {
    return connectPackets(path);
  } catch {
    return -1;
  }
}
