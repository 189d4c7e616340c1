import type { Nanoseconds } from "../base/clock.ts";
import type { Resources, RuntimeSpec } from "../oci/spec.ts";
import type { Attachment, OutputSink, TerminalSize } from "../wire/stream.ts";
import type { OwnNamespaces, UserMap } from "../linux/user-namespace.ts";
import type { Meter } from "./usage.ts";

/** A process, named so that a reused pid or a reboot can never be mistaken for it. */
export interface ProcessId {
  pid: number;
  /** Field 22 of `/proc/<pid>/stat`, in clock ticks since boot. */
  startTime: number;
  /** `/proc/sys/kernel/random/boot_id`. */
  bootId: string;
}

/** How a process ended. */
export interface Exit {
  /** 0 to 255; 128 + signal when killed by one; 255 when nothing could be learned. */
  code: number;
  time: Nanoseconds;
  oomKilled: boolean;
  /** How many processes of it the kernel killed for want of memory, where it counts. */
  oomKills?: number;
  /** Why `code` is a guess, when it is (the monitor was killed, say). */
  unknown?: string;
}

/** What an OCI runtime can do here, found out once per binary and kept with the container for life. */
export interface RuntimeRecord {
  /** The name users give to `--runtime`. */
  name: string;
  path: string;
  kind: "crun" | "runc" | "other";
  version: string;
  /** Takes a compiled seccomp filter as annotation `run.oci.seccomp_bpf_data`. */
  seccompBytes: boolean;
  checkpoint: boolean;
  idmap: boolean;
  cgroupDrivers: ("cgroupfs" | "systemd")[];
}

/**
 * The root file system of a container: layers under a writable directory, joined by overlayfs.
 * It is mounted in the private mount namespace in which the monitor is spawned, so that it vanishes with the container whatever crashes;
 * the host's mount table never sees it. Others reach it by `/proc/<init>/root` while it runs and by a detached mount otherwise.
 */
export interface Rootfs {
  /** Unpacked layers, topmost first, absolute. */
  lower: string[];
  upper: string;
  work: string;
  /** Skip syncing of the upper directory (`--rm`, build steps): a power cut may lose it. */
  volatile: boolean;
}

/** What happens to the process's stdin when the client goes: `once` means EOF, `open` means it stays, `none` is /dev/null. */
export type StdinMode = "none" | "once" | "open";

/** Everything needed to make one container process; all of it is derived anew at each start. */
export interface TaskSpec {
  /** The container's id; also the id given to the OCI runtime and the last part of its cgroup. */
  id: string;
  runtime: RuntimeRecord;
  /** `<exec-root>/containers/<id>`: bundle, attach socket, exit file and the rest live below; made by `create`, removed by `delete`. */
  directory: string;
  /** `root.path` and `linux.seccomp` are filled in by the runtime part. */
  spec: RuntimeSpec;
  rootfs: Rootfs;
  /** Docker's default profile, none at all, or the user's JSON. */
  seccomp: { kind: "default" } | { kind: "unconfined" } | { kind: "custom"; json: string };
  terminal: boolean;
  stdin: StdinMode;
  /** Where conmon appends CRI log lines, or undefined to keep none. */
  logFile: string | undefined;
  /** The terminal's first size. */
  size?: TerminalSize;
  /** Directory of a checkpoint that the processes go on from, in place of the program's start. */
  restore?: string;
  /** Its users are others than the host's. */
  users?: TaskUsers;
}

/** The user namespace of a container. Layers and what it writes belong on the disk to the numbers inside. */
export interface TaskUsers {
  /** A descriptor of this process; the caller's to close once the task is there. */
  namespace: number;
  map: UserMap;
  /** Destinations of binds whose files belong on the disk to the numbers inside, too; all others show whom they belong to on the host. */
  mapped: readonly string[];
}

/** What of a task its monitor has to know. */
export type MonitorSpec = Pick<TaskSpec, "id" | "runtime" | "directory" | "rootfs" | "terminal" | "stdin" | "logFile">;

/** A mount for a container that runs. */
export interface LiveMount {
  destination: string;
  /** A place of the host, a file system in memory with its options, or layers joined read-only (topmost first). */
  source: { bind: string; recursive: boolean; identity?: { device: number; inode: bigint } } | { tmpfs: string[] } | { layers: string[] };
  /** The mount alone, or all that is mounted below it, too. */
  readOnly: "no" | "top" | "all";
  /** `rprivate`, `rslave` ...; empty for `rprivate`. */
  propagation: string;
  /** Where the container has users of its own: the host's numbers of their root, and whether what is on the disk belongs to the numbers inside. */
  users?: { root: { uid: number; gid: number }; mapped: boolean };
}

/** Where a checkpoint goes. */
export interface CheckpointOptions {
  /** An empty directory for what a restore needs. */
  directory: string;
  /** For criu's logs. */
  work: string;
  leaveRunning: boolean;
}

/** A further process in a running container. */
export interface ExecSpec {
  id: string;
  containerId: string;
  /** `<exec-root>/containers/<container>/exec/<id>`. */
  directory: string;
  process: RuntimeSpec["process"];
  terminal: boolean;
  stdin: boolean;
  size?: TerminalSize;
  /** Whose its pipes are, on the host: root of the container's user namespace. */
  owner?: { uid: number; gid: number };
}

/** What must be stored to find a task again after the daemon has died: plain data. */
export interface TaskRecord {
  id: string;
  runtime: string;
  directory: string;
  init: ProcessId;
  monitor: ProcessId;
  /** Count of the cgroup's `oom_kill` at start. */
  oomKills: number;
  terminal: boolean;
  stdin: StdinMode;
  /** Path below each controller's root (v1) or the unified root (v2). */
  cgroup: string;
}

/**
 * A container's process with its monitor. Made by {@link Runtime.create} (init waits before exec) or found again by {@link Runtime.adopt}.
 */
export interface Task {
  readonly record: TaskRecord;
  /** Lets init run the user's program. Throws `runtime` with the OCI runtime's sentence when it cannot (and the task is deleted). */
  start(): Promise<void>;
  /** How many of its processes the kernel has killed for want of memory since its start. */
  oomKills(): number;
  /** Calls back soon after there are more of them; where the kernel does not tell, `exited` does. */
  onOomKill(listener: () => void): void;
  /** Sends a signal to init, or to every process of the cgroup with `all`. Throws `conflict` when it is gone. */
  kill(signal: number, options?: { all?: boolean }): void;
  /**
   * Joins the one connection that the daemon holds to the monitor. Pieces that came before are not repeated (they are in the log).
   * May be called before `start`, so that no output is missed.
   */
  attach(sink: OutputSink, options: { stdin: boolean; stdout: boolean; stderr: boolean }): Attachment;
  resize(size: TerminalSize): void;
  /** Writes the state of all its processes to a directory. Throws `unsupported` where the runtime cannot, `runtime` with its words. */
  checkpoint(options: CheckpointOptions): Promise<void>;
  /** Freezes or thaws the cgroup. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Changes limits of the cgroup while it runs; only what is set changes, `devices` never. Throws `runtime` with the runtime's or the kernel's sentence. */
  update(resources: Resources): Promise<void>;
  /**
   * Lets the monitor be at most some ten kilobytes of output ahead of us, as far as the kernel allows: it costs speed, and bounds what it writes
   * to the log before it can be told anything. False while it has not taken our connection yet.
   */
  narrowOutput(): boolean;
  /** From now on, output that clients do not take is dropped: stop, kill or remove is under way. */
  drainOutput(): void;
  /**
   * Mounts something in the running container; its place is made where it is missing, and what stands there already is left alone.
   * Throws a system error where kernel or container do not allow it (`code` is the errno's name).
   */
  mount(mount: LiveMount): Promise<void>;
  /** Takes a mount of `source`, a place of the host, away; false where something else stands there. Throws a system error EBUSY while it is in use. */
  unmount(destination: string, source: string): Promise<boolean>;
  /** Makes conmon close and open its log file anew after the daemon has renamed it. */
  reopenLog(): Promise<void>;
  /** Resolves when init is gone and the monitor is gone or drained: all output is in the log and with the clients. Never rejects. */
  readonly exited: Promise<Exit>;
  /** Set once it is known that the monitor died before the container: log and stdin are lost. */
  readonly monitorLost: Promise<void>;
  exec(spec: ExecSpec): Promise<ExecTask>;
  /** Processes of the container, from its cgroup: host pids. */
  pids(): number[];
  /** What it uses; tells nothing any more once init is gone. */
  readonly meter: Meter;
  /** Removes the runtime's state, cgroup and directory; kills what is left. Idempotent. */
  delete(): Promise<void>;
}

/** A process made by `exec`. It outlives the daemon as the container does. */
export interface ExecTask {
  readonly record: ExecRecord;
  attach(sink: OutputSink, options: { stdin: boolean; stdout: boolean; stderr: boolean }): Attachment;
  resize(size: TerminalSize): void;
  kill(signal: number): void;
  readonly exited: Promise<Exit>;
  delete(): Promise<void>;
}

/** An exec as stored: plain data. */
export interface ExecRecord {
  id: string;
  containerId: string;
  directory: string;
  process: ProcessId;
  monitor: ProcessId;
  terminal: boolean;
  stdin: boolean;
}

/** conmon and the OCI runtimes: from a spec to a process and back to an exit code. Knows nothing of Docker, images or state. */
export interface Runtime {
  /** The record of a runtime by name (`crun`, `runc`, a configured one, or "" for the default). Throws `invalid` with Docker's text for unknown ones. */
  record(name: string): RuntimeRecord;
  /** Examines a runtime that is named by the absolute path of its program, so that {@link record} knows it; other names pass. Throws `invalid` for what is none. */
  learn(name: string): Promise<void>;
  records(): RuntimeRecord[];
  /** Takes other configured runtimes from now on; what runs keeps its own. Throws `invalid` in Docker's words where the default is none of them, before anything changes. */
  configure(options: Pick<RuntimeOptions, "runtimes" | "defaultRuntime">): Promise<void>;
  readonly cgroup: { version: 1 | 2; hybrid: boolean; driver: "cgroupfs" | "systemd"; controllers: string[] };
  /**
   * Mounts the root and spawns the monitor of a task whose `create` follows as soon as its specification is made: it waits. What the host mounts meanwhile is not there for the task.
   * Throws system errors. What is returned ends the monitor where `create` has not taken it up, and leaves nothing behind; else it does nothing.
   */
  begin(spec: MonitorSpec): () => Promise<void>;
  /**
   * Mounts the root, writes the bundle, spawns conmon and the OCI runtime's `create`. The program does not run yet.
   * Throws `runtime` with the OCI runtime's own sentence (exit 126/127 texts are recognised by `containers/`); nothing is left behind then.
   * An abort of `signal` tears down what was made.
   */
  create(spec: TaskSpec, options?: { signal?: AbortSignal }): Promise<Task>;
  /**
   * Finds a task again after a restart of the daemon: reconnects its socket, watches it, or learns how it ended meanwhile.
   * Never throws for a gone process: `exited` then resolves with what the exit file or the kernel still knows, with the true time.
   */
  adopt(record: TaskRecord): Promise<Task>;
  adoptExec(record: ExecRecord): Promise<ExecTask>;
  /**
   * The joined root of a container that does not run, as a descriptor of a mount that is attached nowhere; it goes when the caller closes it.
   * Files are reached by `/proc/self/fd/<fd>/...` or `openat2`. Must not be held while the container runs, unless it has no `upper` and `work`
   * (""): then it is read-only, and takes two or more of `lower`.
   */
  openRoot(rootfs: Rootfs): Promise<number>;
  /**
   * Makes a user namespace, or takes the one at the path `join` (which must have this map), and a network namespace that it owns: descriptors of this process that are the caller's to
   * close. Throws `unsupported` where the kernel gives none.
   */
  ownNamespaces(map: UserMap, join?: string): Promise<OwnNamespaces>;
  /** A hint that a `create` or an exec is near: what the kernel needs time for begins now. Returns at once, costs nothing. */
  warm(): void;
  /** Moves a helper that is to outlive the daemon to the monitors, in the background: the end of a service or a session ends what stands in their cgroups. */
  placeHelper(pid: number): void;
  /** Removes what tasks that are in no row left behind (directories, cgroups, runtime state): called once at start with the ids to keep. */
  sweep(keep: ReadonlySet<string>): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Configuration of {@link Runtime}. */
export interface RuntimeOptions {
  /** `<exec-root>`. */
  execRoot: string;
  /** Parent of all cgroups made here, `/lighter` or `/lighter-<hash>` for a data root that is not the default. */
  cgroupParent: string;
  cgroupDriver: "auto" | "cgroupfs" | "systemd";
  /** Move this process into `<cgroupParent>/daemon`: it is started from a login session, not by a service manager. */
  ownCgroup?: boolean;
  /** Further runtimes by name, from daemon.json's `runtimes`. */
  runtimes: Record<string, { path: string; runtimeArgs?: string[] }>;
  defaultRuntime: string | undefined;
  /** Called with each step of a container's or exec's life (`bundle`, `spawned`, `created`, `started`, `exited`, `deleted`): the split of the benchmark. */
  trace?: (id: string, step: string) => void;
}
