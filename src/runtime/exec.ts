import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { closeFd } from "../linux/fd.ts";
import { connectPackets } from "../linux/packet-socket.ts";
import { bootId, nameProcess, type ProcessName } from "../linux/process.ts";
import type { Attachment, OutputSink, TerminalSize } from "../wire/stream.ts";
import { startConmon } from "./conmon.ts";
import type { Context } from "./context.ts";
import { Monitored } from "./monitored.ts";
import { refused } from "./refusal.ts";
import { givePipes } from "./user-mounts.ts";
import type { ExecRecord, ExecSpec, ExecTask, Exit, RuntimeRecord } from "./runtime.ts";

const SIGKILL = 9;

/**
 * Runs a further process in a container. conmon would name the exit file by the container, so each exec has a directory of its own.
 * Throws `runtime` with the OCI runtime's sentence; nothing is left behind then.
 */
export async function startExec(context: Context, runtime: RuntimeRecord, spec: ExecSpec): Promise<ExecTask> {
  const { directory, id, containerId, terminal } = spec;
  const cool = context.warmCgroups.hold();
  const processFile = writeProcess(spec);
  let monitor: ProcessName | undefined;
  let socket: number | undefined;
  try {
    const { pid, monitorPid } = await startConmon(context, {
      id: containerId,
      runtime,
      directory,
      terminal,
      stdin: spec.stdin ? "once" : "none",
      logFile: undefined,
      processFile,
      onAttachable: (watcher) => {
        monitor = named(watcher);
        if (spec.owner !== undefined) givePipes(watcher, spec.owner);
        socket = connectPackets(`${directory}/attach`);
      },
    });
    context.trace(id, "exec started");
    if (spec.process.oomScoreAdj !== undefined) setOomScore(pid, spec.process.oomScoreAdj);
    monitor ??= named(monitorPid);
    const record: ExecRecord = { id, containerId, directory, process: named(pid), monitor, terminal, stdin: spec.stdin };
    return new ExecProcess(context, record, socket);
  } catch (error) {
    if (socket !== undefined) closeFd(socket);
    await context.spawner.remove({ cgroups: [], trees: [directory] });
    throw refused(error, "exec");
  } finally {
    cool();
  }
}

/** crun 1.8 leaves the score of an exec as it inherits it. The process runs by now: where it has ended, or the score may not be lowered, it stays. */
function setOomScore(pid: number, score: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(score));
  } catch {
    // Told above.
  }
}

/** A process as it can be found again; one that has gone already keeps its pid and a start that matches nothing. */
export function named(pid: number): ProcessName {
  return nameProcess(pid) ?? { pid, startTime: 0, bootId: bootId() };
}

/** One process beside the container's own. */
export class ExecProcess implements ExecTask {
  readonly record: ExecRecord;
  readonly exited: Promise<Exit>;
  readonly #context: Context;
  readonly #process: Monitored;

  constructor(context: Context, record: ExecRecord, socket?: number) {
    this.record = record;
    this.#context = context;
    this.#process = new Monitored({
      directory: record.directory,
      init: record.process,
      monitor: record.monitor,
      stdin: record.stdin ? "once" : "none",
      terminal: record.terminal,
      keepEarly: socket !== undefined,
      ...(socket === undefined ? {} : { socket }),
    });
    this.exited = this.#process.exited.then((exit) => ({ ...exit, oomKilled: false }));
  }

  attach(sink: OutputSink, options: { stdin: boolean; stdout: boolean; stderr: boolean }): Attachment {
    return this.#process.attach(sink, options);
  }

  resize(size: TerminalSize): void {
    this.#process.resize(size);
  }

  kill(signal: number): void {
    if (!this.#process.signal(signal)) throw new LighterError("conflict", `Cannot signal exec "${this.record.id}": it is not running`);
  }

  async delete(): Promise<void> {
    this.#process.drainOutput();
    this.#process.signal(SIGKILL);
    await this.exited;
    await this.#process.endMonitor();
    await this.#context.spawner.remove({ cgroups: [], trees: [this.record.directory] });
    this.#process.close();
  }
}

function writeProcess({ directory, process, terminal, size }: ExecSpec): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const file = `${directory}/process.json`;
  writeFileSync(file, JSON.stringify({ ...process, terminal, ...(terminal && size ? { consoleSize: size } : {}) }), { mode: 0o600 });
  return file;
}
