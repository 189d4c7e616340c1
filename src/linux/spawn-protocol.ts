/** Jobs of the spawn Worker: what must happen in a mount namespace of its own, and small blocking work of the kernel. Plain data. */
import type { ProcessName } from "./process.ts";
/** An overlay to mount. All paths are absolute; `lower` has the topmost layer first; without `upper` and `work` ("") it is read-only. */
export interface Overlay {
  target: string;
  lower: string[];
  upper: string;
  work: string;
  /** No syncing of the upper directory: a power cut may lose it. */
  volatile: boolean;
  /** Whose files are whose, where the root is that of a user namespace. */
  users?: UsersOfMounts;
  /** What is mounted beside it in the same namespace: places of the host that a user namespace's root may not reach, or sees with other owners. */
  binds?: PlacedBind[];
}

/** The users of a mount: what is on the disk belongs to the numbers that they have in a user namespace. */
export interface UsersOfMounts {
  /** A descriptor of this process. */
  namespace: number;
  /** The host's numbers of its root. */
  root: { uid: number; gid: number };
}

/** A file or directory of the host, and the path where it is mounted: both exist. */
export interface PlacedBind {
  source: string;
  place: string;
  recursive: boolean;
  /** With the owners as in the overlay's user namespace; else as on the disk. */
  mapped: boolean;
}

/** A program to start. */
export interface SpawnJob {
  kind: "spawn";
  argv: string[];
  env: string[];
  cwd: string;
  /** What becomes of descriptors 0, 1, 2, ... in the child; -1 is /dev/null. Everything above is closed. */
  fds: number[];
  /** A copy of the host's mount namespace for the child alone; else it shares the host's. */
  privateMounts: boolean;
  /** In the copy `/dev/null` is a device of the child's own: an OCI runtime gives what it finds on descriptor 0 to the user of the process. It is made in `cwd`. */
  ownNull?: boolean;
  /** Mounted in the child's own namespace, where nobody else sees it; it goes when the last process there goes. */
  overlay?: Overlay;
}

/** Removes cgroups (directories of cgroupfs, deepest first) and directory trees. What does not exist is fine. */
export interface RemoveJob {
  kind: "remove";
  cgroups: string[];
  trees: string[];
}

/**
 * Mounts an overlay that is attached nowhere; the answer is a descriptor of its root, and the mount goes when that is closed.
 * `target` must be a directory that exists, for kernels that need one; nobody sees anything there.
 */
export interface DetachedJob {
  kind: "detached";
  overlay: Overlay;
}

/** Compiles a seccomp filter; the answer is the BPF program. */
export interface SeccompJob {
  kind: "seccomp";
  filter: SeccompFilter;
}

/** A seccomp filter by names, as libseccomp takes it. */
export interface SeccompFilter {
  /** `SCMP_ACT_*`. */
  defaultAction: string;
  defaultErrno: number;
  /** `SCMP_ARCH_*` beside the native one. */
  architectures: string[];
  rules: {
    names: string[];
    action: string;
    errno: number;
    args: { index: number; value: number | bigint; valueTwo: number | bigint; op: string }[];
  }[];
}

/** What a mount shows: a place of the host, a file system in memory with its options, or layers joined read-only (topmost first). */
export type MountSource =
  { bind: string; recursive: boolean; identity?: { device: number; inode: bigint } } | { tmpfs: string[] } | { layers: string[] };

/** Whose files are whose in a mount for a process with users of its own. */
export interface MountUsers {
  /** The host's numbers of their root. */
  root: { uid: number; gid: number };
  /** What is on the disk belongs to the numbers inside; else it shows whom it belongs to on the host. */
  mapped: boolean;
}

/** Mounts something for a running process and all that share its mount namespace. */
export interface MountJob {
  kind: "mount";
  process: ProcessName;
  /** Below the process's root, absolute. */
  destination: string;
  source: MountSource;
  /** The mount alone, or all that is mounted below it, too. */
  readOnly: "no" | "top" | "all";
  /** `rprivate`, `rslave` ...; empty for `rprivate`. */
  propagation: string;
  /** Where the process has users of its own. */
  users?: MountUsers;
}

/** Takes such a mount of a place of the host away; the answer is 1, or 0 where something else stands there. */
export interface UnmountJob {
  kind: "unmount";
  process: ProcessName;
  destination: string;
  source: string;
}

export type SpawnerJob = SpawnJob | RemoveJob | DetachedJob | SeccompJob | MountJob | UnmountJob;

export interface SpawnerSetup {
  /** A descriptor of the host's mount namespace. */
  hostMounts: number;
  /** `tasks` files (cgroup v1) that the Worker's thread enters, so that all it spawns starts there. */
  tasksFiles: string[];
  /** The directory under which overlays are mounted, where the mount around it is shared: it is made a private mount of its own, once. */
  bindRoot: string | undefined;
  /** `/sys/fs/cgroup/unified` is mounted on a hybrid host: crun refuses to work while it sees it. */
  hybrid: boolean;
}

export interface SpawnerRequest {
  id: number;
  job: SpawnerJob;
}

export interface SpawnerReply {
  id: number;
  /** pid, descriptor, or 0. */
  value: number;
  data?: Uint8Array;
  error?: { message: string; code: string };
}
