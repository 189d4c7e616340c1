import type {
  MountJob,
  Overlay,
  RemoveJob,
  SeccompFilter,
  SpawnJob,
  SpawnerJob,
  SpawnerReply,
  SpawnerSetup,
  UnmountJob,
} from "./spawn-protocol.ts";
import { LastingWorker } from "./lasting-worker.ts";
import { type SystemError, ERRNO } from "./libc.ts";

/** The thread that starts programs in mount namespaces of their own; see `spawn-protocol.ts` for what it is given. */
export interface Spawner {
  /** Starts a program; resolves to its pid, a child of this process. Rejects with a system error. */
  spawn(job: Omit<SpawnJob, "kind">): Promise<number>;
  /** Removes cgroups and directory trees. Rejects with EBUSY while a cgroup still has processes. */
  remove(job: Omit<RemoveJob, "kind">): Promise<void>;
  /** A descriptor of an overlay that is mounted nowhere. */
  detachedOverlay(overlay: Overlay): Promise<number>;
  /** Compiles a seccomp filter to BPF. */
  compileSeccomp(filter: SeccompFilter): Promise<Uint8Array>;
  /** Mounts something in the namespace of a running process. Rejects with a system error. */
  mountInto(job: Omit<MountJob, "kind">): Promise<void>;
  /** Unmounts it; false where something else stands there. Rejects with EBUSY while it is in use. */
  unmountFrom(job: Omit<UnmountJob, "kind">): Promise<boolean>;
  close(): void;
}

/** Starts the Worker; resolves once its thread stands in its cgroups and knows the host's namespace. */
export async function openSpawner(setup: SpawnerSetup): Promise<Spawner> {
  const waiting = new Map<number, { resolve: (reply: SpawnerReply) => void; reject: (error: unknown) => void }>();
  let last = 0;
  const begun = new Promise<SpawnerReply>((resolve, reject) => waiting.set(0, { resolve, reject }));
  const worker = new LastingWorker({
    name: "spawn thread",
    start: () => new Worker(new URL("./spawn.worker.ts", import.meta.url)),
    // The bind mount of the first one is still there.
    greeting: (again): SpawnerSetup => (again ? { ...setup, bindRoot: undefined } : setup),
    message: (reply: SpawnerReply) => {
      const caller = waiting.get(reply.id);
      waiting.delete(reply.id);
      if (waiting.size === 0) worker.keepAlive(false);
      if (reply.error) caller?.reject(revived(reply.error));
      else caller?.resolve(reply);
    },
    lost: (error) => {
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
      worker.keepAlive(false);
    },
  });
  const run = (job: SpawnerJob): Promise<SpawnerReply> =>
    new Promise((resolve, reject) => {
      if (waiting.size === 0) worker.keepAlive(true);
      waiting.set(++last, { resolve, reject });
      worker.post({ id: last, job });
    });
  await begun;
  return {
    spawn: async (job) => (await run({ kind: "spawn", ...job })).value,
    remove: async (job) => void (await run({ kind: "remove", ...job })),
    detachedOverlay: async (overlay) => (await run({ kind: "detached", overlay })).value,
    compileSeccomp: async (filter) => (await run({ kind: "seccomp", filter })).data ?? new Uint8Array(),
    mountInto: async (job) => void (await run({ kind: "mount", ...job })),
    unmountFrom: async (job) => (await run({ kind: "unmount", ...job })).value === 1,
    close: () => worker.end(),
  };
}

function revived({ message, code }: { message: string; code: string }): SystemError {
  const number = ERRNO[code as keyof typeof ERRNO] ?? 0;
  return Object.assign(new Error(message), { code, errno: -number, syscall: "" });
}
