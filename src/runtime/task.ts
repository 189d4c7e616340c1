import { constants, existsSync, readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { closeFd, openFd, unlinkPath, writeAll } from "../linux/fd.ts";
import type { SystemError } from "../linux/libc.ts";
import { oomKillLogged } from "../linux/kernel-log.ts";
import { signalPid } from "../linux/process.ts";
import type { Resources, RuntimeSpec } from "../oci/spec.ts";
import type { Attachment, OutputSink, TerminalSize } from "../wire/stream.ts";
import { Cgroup } from "./cgroup.ts";
import { checkpointTask } from "./checkpoint.ts";
import { runCommand } from "./command.ts";
import { RuntimeRefusal } from "./conmon.ts";
import { type Context, mountPoint, stateRoot } from "./context.ts";
import { startExec } from "./exec.ts";
import { type ClosableMeter, openMeter } from "./meter.ts";
import { Monitored } from "./monitored.ts";
import { OomKills } from "./oom-kills.ts";
import { refused } from "./refusal.ts";
import { killAll, removeAll } from "./remove.ts";
import type { CheckpointOptions, ExecSpec, ExecTask, Exit, LiveMount, RuntimeRecord, Task, TaskRecord } from "./runtime.ts";
import { isKnownCrun } from "./runtimes.ts";
import { updateLimits } from "./update.ts";

const SIGKILL = 9;
const KILLED = 128 + SIGKILL;
/** In a second: `sysconf(_SC_CLK_TCK)`, which Linux shows to programs on every machine. */
const CLOCK_TICKS = 100;
const REOPEN_MILLISECONDS = 2_000;

/** One container's process. */
export class ContainerTask implements Task {
  readonly record: TaskRecord;
  readonly exited: Promise<Exit>;
  readonly monitorLost: Promise<void>;
  readonly meter: ClosableMeter;
  readonly #context: Context;
  readonly #runtime: RuntimeRecord;
  readonly #process: Monitored;
  readonly #cgroup: Cgroup;
  readonly #oomKills: OomKills;
  /** By us. */
  #killed = false;
  readonly #restored: boolean;
  #deleted: Promise<void> | undefined;

  /** @param options.restored its processes run already, from a checkpoint */
  constructor(context: Context, runtime: RuntimeRecord, record: TaskRecord, options: { restored?: boolean } = {}) {
    this.#restored = options.restored ?? false;
    this.#context = context;
    this.#runtime = runtime;
    this.record = record;
    this.#cgroup = new Cgroup(context.host, record.cgroup);
    this.#process = new Monitored({ ...record, keepEarly: false });
    this.monitorLost = this.#process.monitorLost;
    this.meter = openMeter(context.host, record.cgroup, record.init.pid);
    const vanishes = context.driver === "systemd";
    const oomKills = (this.#oomKills = new OomKills(this.#cgroup));
    this.exited = this.#process.exited.then((exit) => {
      context.trace(record.id, "exited");
      oomKills.close();
      this.meter.close();
      const counted = this.oomKills();
      const unclear = counted === 0 && vanishes && exit.code === KILLED && !this.#killed;
      if (counted > 0) return { ...exit, oomKilled: true, oomKills: counted };
      return { ...exit, oomKilled: unclear && oomKillLogged(record.cgroup, record.init.startTime / CLOCK_TICKS) };
    });
    context.tasks.set(record.id, this);
  }

  oomKills(): number {
    return Math.max(0, this.#oomKills.count() - this.record.oomKills);
  }

  onOomKill(listener: () => void): void {
    this.#oomKills.onMore = listener;
  }

  async start(): Promise<void> {
    const { id } = this.record;
    if (this.#restored) return;
    await this.#process.accepted();
    try {
      if (this.#isDirect("poststart")) openFifo(`${stateRoot(this.#context, this.#runtime)}/${id}/exec.fifo`);
      else {
        const { code, output } = await runCommand(this.#context, this.#runtime, ["start", id]);
        if (code !== 0) throw new RuntimeRefusal(output);
      }
    } catch (error) {
      await this.delete();
      throw refused(error, "start");
    }
    this.#context.trace(id, "started");
  }

  kill(signal: number, options: { all?: boolean } = {}): void {
    this.#killed ||= signal === SIGKILL;
    if (!this.#process.alive) throw new LighterError("conflict", `Cannot signal container "${this.record.id}": it is not running`);
    if (options.all !== true) {
      if (!this.#process.signal(signal))
        throw new LighterError("conflict", `Cannot signal container "${this.record.id}": it is not running`);
    } else if (signal === SIGKILL) killAll(this.#cgroup);
    else for (const pid of this.#cgroup.pids()) signalPid(pid, signal);
  }

  attach(sink: OutputSink, options: { stdin: boolean; stdout: boolean; stderr: boolean }): Attachment {
    return this.#process.attach(sink, options);
  }

  resize(size: TerminalSize): void {
    this.#process.resize(size);
  }

  async pause(): Promise<void> {
    await this.#cgroup.freeze(true);
  }

  async resume(): Promise<void> {
    await this.#cgroup.freeze(false);
  }

  update(resources: Resources): Promise<void> {
    return updateLimits(this.#context, this.#runtime, this.record, resources);
  }

  mount(mount: LiveMount): Promise<void> {
    return this.#context.spawner.mountInto({ ...mount, process: this.record.init });
  }

  unmount(destination: string, source: string): Promise<boolean> {
    return this.#context.spawner.unmountFrom({ destination, source, process: this.record.init });
  }

  checkpoint(options: CheckpointOptions): Promise<void> {
    return checkpointTask(this.#context, this.#runtime, this.record, options);
  }

  narrowOutput(): boolean {
    return this.#process.narrowOutput(this.record.monitor.pid);
  }

  drainOutput(): void {
    this.#process.drainOutput();
  }

  async reopenLog(): Promise<void> {
    const { directory } = this.record;
    const spec = logPathOf(this.record.monitor.pid);
    if (this.#process.monitorPidfd === undefined || spec === undefined) return;
    const control = openFd(`${directory}/ctl`, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      // Message type 2, then two numbers that only a resize uses.
      writeAll(control, Buffer.from("2 0 0\n"));
    } finally {
      closeFd(control);
    }
    for (const begun = performance.now(); !existsSync(spec) && this.#process.alive; await Bun.sleep(1)) {
      if (performance.now() - begun > REOPEN_MILLISECONDS)
        throw new LighterError("internal", `Cannot reopen the log of container "${this.record.id}": its monitor does not answer`);
    }
  }

  async exec(spec: ExecSpec): Promise<ExecTask> {
    if (!this.#process.alive) throw new LighterError("conflict", `Cannot exec in container "${spec.containerId}": it is not running`);
    return startExec(this.#context, this.#runtime, spec);
  }

  pids(): number[] {
    return this.#cgroup.pids();
  }

  /** Its removal while that is under way. */
  get deleting(): Promise<void> | undefined {
    return this.#deleted;
  }

  delete(): Promise<void> {
    return (this.#deleted ??= this.#delete());
  }

  async #delete(): Promise<void> {
    const { id, directory } = this.record;
    this.#process.drainOutput();
    if (this.#process.alive) {
      this.#killed = true;
      killAll(this.#cgroup);
      this.#process.signal(SIGKILL);
    }
    await this.exited;
    await this.#process.endMonitor();
    // systemd's scopes are the runtime's to end.
    if (!this.#isDirect("poststop") || this.#context.driver === "systemd")
      await runCommand(this.#context, this.#runtime, ["delete", "--force", id]);
    await removeAll(this.#context, this.#cgroup, [
      `${stateRoot(this.#context, this.#runtime)}/${id}`,
      directory,
      mountPoint(this.#context, id),
    ]);
    this.#process.close();
    if (this.#context.tasks.get(id) === this) this.#context.tasks.delete(id);
    this.#context.trace(id, "deleted");
  }

  /** Whether the runtime's own command can be left out: `hook` runs there, and nothing else that we do not do. */
  #isDirect(hook: "poststart" | "poststop"): boolean {
    return isKnownCrun(this.#runtime) && !hasHook(this.record.directory, hook);
  }
}

/** crun's own start: a byte into the fifo that init waits on, and the fifo removed. */
function openFifo(path: string): void {
  let fd: number;
  try {
    fd = openFd(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as SystemError;
    // No reader: init has died; no fifo: it has been started already.
    throw code === "ENXIO" || code === "ENOENT" ? new RuntimeRefusal("container is not in created state") : error;
  }
  try {
    unlinkPath(path);
    writeAll(fd, Buffer.of(0));
  } finally {
    closeFd(fd);
  }
}

function hasHook(directory: string, hook: string): boolean {
  const path = `${directory}/config.json`;
  if (!existsSync(path)) return false;
  const text = readFileSync(path, "utf8");
  if (!text.includes('"hooks"')) return false;
  const { hooks = {} } = JSON.parse(text) as RuntimeSpec;
  return (hooks[hook] ?? []).length > 0;
}

/** Where conmon writes its log, from its own command line (so that a task found again needs no more than its record). */
function logPathOf(pid: number): string | undefined {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    const value = argv[argv.indexOf("-l") + 1] ?? "";
    return value.startsWith("k8s-file:") ? value.slice("k8s-file:".length) : undefined;
  } catch {
    return undefined;
  }
}
