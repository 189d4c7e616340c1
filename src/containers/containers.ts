import type { Nanoseconds } from "../base/clock.ts";
import type {
  HealthConfig,
  ContainerConfig,
  ContainerInspectResponse,
  ContainerStatsResponse,
  ContainerSummary,
  ExecInspectResponse,
  HostConfig,
  Mount,
  NetworkingConfig,
  PortMap,
  Resources,
  RestartPolicy,
} from "../wire/engine-api.ts";
import type { Filters } from "../wire/filters.ts";
import type { CheckpointRequest } from "./checkpoint.ts";
import type { CommitRequest } from "./commit.ts";
import type { Follow } from "./follow-volume.ts";
import type { Attachment, OutputSink, TerminalSize } from "../wire/stream.ts";

/** The body of `/containers/create`. */
export type CreateBody = ContainerConfig & { HostConfig?: HostConfig; NetworkingConfig?: NetworkingConfig };

/** The body of `/containers/{id}/update`: Docker's, and ours in an object of its own that other daemons ignore. */
export type UpdateBody = Resources & { RestartPolicy?: RestartPolicy; Lighter?: ContainerEdit };

/** What else of a container can be changed. Lists name what is added or set, and what is removed. */
export interface ContainerEdit {
  /** `NAME=VALUE`; removed by name. */
  Env?: { Set?: string[]; Remove?: string[] };
  Labels?: { Set?: Record<string, string>; Remove?: string[] };
  /** Removed as `80`, `80/udp`, `8080:80` or `127.0.0.1:8080:80`. */
  Ports?: { Add?: PortMap; Remove?: string[] };
  /** Added as of `-v` and `--mount`; removed by their place in the container. */
  Mounts?: { Binds?: string[]; Mounts?: Mount[]; Remove?: string[] };
  /** Times in nanoseconds; what is left out stays. `Test` of `NONE` ends the checks. */
  Healthcheck?: HealthConfig;
  /** Options of the log driver, in force from the next start on. */
  LogOptions?: { Set?: Record<string, string>; Remove?: string[] };
  PublishAllPorts?: boolean;
  /** Names of the container on networks, by network. */
  Aliases?: Record<string, { Add?: string[]; Remove?: string[] }>;
  Hostname?: string;
  Domainname?: string;
  User?: string;
  WorkingDir?: string;
  Entrypoint?: string[];
  Cmd?: string[];
  StopSignal?: string;
  StopTimeout?: number;
}

/** The body of `/containers/{id}/exec`. */
export interface ExecCreateBody {
  AttachStdin?: boolean;
  AttachStdout?: boolean;
  AttachStderr?: boolean;
  DetachKeys?: string;
  Tty?: boolean;
  Env?: string[];
  Cmd?: string[];
  Privileged?: boolean;
  User?: string;
  WorkingDir?: string;
  ConsoleSize?: [number, number] | null;
}

/** One stored line of output, or a part of one: the bytes exactly as the program wrote them. */
export interface LogEntry {
  stream: 1 | 2;
  time: Nanoseconds;
  data: Uint8Array;
  /** These bytes go on a line of which a part was given before on the same stream: no new time stamp is due. */
  continues?: boolean;
}

export interface LogOptions {
  stdout: boolean;
  stderr: boolean;
  follow: boolean;
  since?: Nanoseconds;
  until?: Nanoseconds;
  /** Number of lines from the end; undefined for all. */
  tail?: number;
  signal?: AbortSignal;
}

/** What `docker cp` learns of a path before it copies (`X-Docker-Container-Path-Stat`). */
export interface PathStat {
  name: string;
  size: number;
  /** Go's os.FileMode bits. */
  mode: number;
  mtime: string;
  linkTarget: string;
}

/**
 * Containers, from create to remove. `reference` is a name, an id or an unambiguous id prefix; `not-found` says `No such container: x`.
 *
 * Every change of one container runs under that container's own lock, in the order in which it came; reading never waits. The row is changed in one
 * transaction with the event that tells of it. What the kernel does in between is adopted or cleaned from the row after a crash.
 */
export interface Containers {
  /** Adopts what runs, finishes what was under way when the last daemon died, applies restart policies. Events first, with their true times. */
  restore(): Promise<void>;
  /** Stops watching and lets every container run on. */
  [Symbol.asyncDispose](): Promise<void>;

  create(
    name: string | undefined,
    body: CreateBody,
    options: { platform?: string; signal?: AbortSignal },
  ): Promise<{ id: string; warnings: string[] }>;
  /** `checkpoint`: its processes go on from there. */
  start(reference: string, options?: { signal?: AbortSignal; checkpoint?: { id: string; directory?: string } }): Promise<void>;
  createCheckpoint(reference: string, request: CheckpointRequest): Promise<void>;
  checkpoints(reference: string, directory: string | undefined): Promise<string[]>;
  removeCheckpoint(reference: string, id: string, directory: string | undefined): Promise<void>;
  /** `timeout` in seconds: undefined for the container's own, -1 for ever. */
  stop(reference: string, options: { timeout?: number; signal?: string }): Promise<void>;
  restart(reference: string, options: { timeout?: number; signal?: string }): Promise<void>;
  kill(reference: string, signal: string): Promise<void>;
  pause(reference: string): Promise<void>;
  unpause(reference: string): Promise<void>;
  rename(reference: string, name: string): Promise<void>;
  /**
   * Changes what a container may use and what it is: at once where the kernel allows (limits, ports, labels, names, mounts), else from its next start
   * on, which `pending` tells by the names that inspect has for them. All of it or, with the reason, nothing.
   */
  update(reference: string, body: UpdateBody): Promise<{ warnings: string[]; pending: string[] }>;
  /** Holds containers, none of which may run, while `work` gives a volume that they have another name; `follow` is for its transaction. Throws `conflict`. */
  whileAtRest(ids: readonly string[], volume: string, work: (follow: Follow) => Promise<void>): Promise<void>;
  remove(reference: string, options: { force: boolean; volumes: boolean; link: boolean }): Promise<void>;
  resize(reference: string, size: TerminalSize): void;
  /**
   * Registers at once (so that a start that follows cannot be missed); `result` resolves when the condition holds.
   * `not-running` is true of a created container already; `next-exit` waits for the next; `removed` for its end.
   */
  wait(
    reference: string,
    condition: "not-running" | "next-exit" | "removed",
  ): { result: Promise<{ statusCode: number; error?: string }>; cancel(): void };
  /** Joins the output and input; works on a created container, too (the pieces come once it runs). `logs` replays what is stored first. */
  attach(
    reference: string,
    sink: OutputSink,
    options: { logs: boolean; stream: boolean; stdin: boolean; stdout: boolean; stderr: boolean },
  ): Promise<Attachment>;
  logs(reference: string, options: LogOptions): AsyncIterable<LogEntry>;
  /**
   * As {@link logs}, as the bytes of an answer: stdcopy frames, raw for a terminal. With `details` what the log options tell of the container stands before each
   * line. Throws `not-found` and, for a container that keeps no log, `unsupported` at once.
   */
  logFrames(reference: string, options: LogOptions & { timestamps: boolean; details: boolean }): AsyncIterable<Uint8Array>;
  /** Throws away what is stored of a container's output; one that runs writes on. */
  clearLogs(reference: string): Promise<void>;
  /** Whether its output is a terminal's (raw) or framed. */
  terminal(reference: string): boolean;
  list(options: { all: boolean; limit?: number; size: boolean; filters: Filters }): Promise<ContainerSummary[]>;
  inspect(reference: string, options?: { size?: boolean }): Promise<ContainerInspectResponse>;
  /** The MAC address that was asked for on the container's main network; `inspect` tells the one that it has. */
  askedMacAddress(reference: string): string | undefined;
  top(reference: string, psArguments: string): Promise<{ Titles: string[]; Processes: string[][] }>;
  /**
   * What it uses: now, and with `stream` each second until it is removed. Zeros while it does not run. The answer carries an earlier sample of processor
   * time to compare with, unless `oneShot` asks for none.
   */
  stats(
    reference: string,
    options: { stream: boolean; oneShot: boolean; signal?: AbortSignal },
  ): AsyncGenerator<ContainerStatsResponse, void, undefined>;
  /** What all running containers use (with `all` every container; or those that `references` name), in one cheap call: newest first. */
  allStats(options: { all: boolean; references?: readonly string[] }): Promise<ContainerStatsResponse[]>;
  changes(reference: string): Promise<{ Path: string; Kind: 0 | 1 | 2 }[]>;
  prune(filters: Filters): Promise<{ deleted: string[]; bytes: number }>;
  /** Makes an image of what the container has changed, running or not; returns its id. Event `commit`, in the image's own transaction. */
  commit(reference: string, request: CommitRequest): Promise<string>;

  /** Files: of the running container through init's root, of a stopped one through a detached mount. Links never lead out of the root. */
  stat(reference: string, path: string): Promise<PathStat>;
  archive(
    reference: string,
    path: string,
    options?: { signal?: AbortSignal },
  ): Promise<{ stat: PathStat; tar: ReadableStream<Uint8Array> }>;
  extract(
    reference: string,
    path: string,
    tar: ReadableStream<Uint8Array>,
    options: { noOverwriteDirNonDir: boolean; copyUidGid: boolean; signal?: AbortSignal },
  ): Promise<void>;
  export(reference: string, options?: { signal?: AbortSignal }): Promise<ReadableStream<Uint8Array>>;

  createExec(reference: string, body: ExecCreateBody): Promise<string>;
  /**
   * Starts an exec and joins it; without a sink it runs detached. Resolves once it runs.
   * @param options.begun is called when nothing but the process itself can fail any more, before it is made
   */
  startExec(
    id: string,
    options: { sink?: OutputSink; tty: boolean; size?: TerminalSize; begun?: () => void },
  ): Promise<Attachment | undefined>;
  resizeExec(id: string, size: TerminalSize): Promise<void>;
  inspectExec(id: string): ExecInspectResponse;
  execTerminal(id: string): boolean;

  /** Numbers for `info`. */
  counts(): { running: number; paused: number; stopped: number };
  /** How many health checks there were since the daemon's start. */
  healthChecks(): { total: number; failed: number };
}
