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
  const worker = new Worker(new URL("./spawn.worker.ts", import.meta.url));
  const waiting = new Map<number, { resolve: (reply: SpawnerReply) => void; reject: (error: unknown) => void }>();
  let last = 0;
  worker.addEventListener("message", (message: MessageEvent<SpawnerReply>) => {
    const reply = message.data;
    const caller = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (waiting.size === 0) worker.unref();
    if (reply.error) caller?.reject(revived(reply.error));
    else caller?.resolve(reply);
  });
  let broken: Error | undefined;
  worker.addEventListener("error", (event) => {
    // The thread is gone: whoever asks it later is told at once, and holds no lock for ever.
    broken = new Error(`The spawn thread failed: ${event.message}`);
    for (const { reject } of waiting.values()) reject(broken);
    waiting.clear();
  });
  const ask = (id: number, message: unknown): Promise<SpawnerReply> =>
    new Promise((resolve, reject) => {
      if (broken !== undefined) return reject(broken);
      if (waiting.size === 0) worker.ref();
      waiting.set(id, { resolve, reject });
      worker.postMessage(message);
    });
  const run = (job: SpawnerJob): Promise<SpawnerReply> => ask(++last, { id: last, job });
  await ask(0, setup);
  return {
    spawn: async (job) => (await run({ kind: "spawn", ...job })).value,
    remove: async (job) => void (await run({ kind: "remove", ...job })),
    detachedOverlay: async (overlay) => (await run({ kind: "detached", overlay })).value,
    compileSeccomp: async (filter) => (await run({ kind: "seccomp", filter })).data ?? new Uint8Array(),
    mountInto: async (job) => void (await run({ kind: "mount", ...job })),
    unmountFrom: async (job) => (await run({ kind: "unmount", ...job })).value === 1,
    close: () => worker.terminate(),
  };
}

function revived({ message, code }: { message: string; code: string }): SystemError {
  const number = ERRNO[code as keyof typeof ERRNO] ?? 0;
  return Object.assign(new Error(message), { code, errno: -number, syscall: "" });
}
