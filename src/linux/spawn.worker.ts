/**
 * The one thread that starts programs in mount namespaces of their own. It leaves the host's only inside of one native call
 * (`spawn-native.ts`): whatever JavaScript runs here runs in the host's namespace.
 */
import { constants, rmSync } from "node:fs";
import { detachedTree } from "./detached-tree.ts";
import { closeFd, openFd, unlinkPath, writeFileOnce } from "./fd.ts";
import { type SystemError, check, cstr, libc } from "./libc.ts";
import { mountInto, unmountFrom } from "./mount-into.ts";
import { detachedOverlay, detachView, withOverlay } from "./overlay.ts";
import { withOwnNull } from "./own-null.ts";
import { posixSpawn } from "./posix-spawn.ts";
import { compileSeccomp } from "./seccomp.ts";
import { NULL, type Place, detachInNamespace, prepareNative, spawnWithMounts } from "./spawn-native.ts";
import type { DetachedJob, Overlay, RemoveJob, SpawnJob, SpawnerReply, SpawnerRequest, SpawnerSetup } from "./spawn-protocol.ts";

declare const self: Worker;

const CLONE_FS = 0x200;
const MS_PRIVATE = 1 << 18;
const MS_BIND = 1 << 12;

let setup: SpawnerSetup | undefined;
let devNull = -1;

self.onmessage = (message: MessageEvent<SpawnerSetup | SpawnerRequest>) => {
  const data = message.data;
  if (!("job" in data)) {
    answer(0, () => begin(data));
    return;
  }
  const { id, job } = data;
  if (job.kind === "spawn") answer(id, () => ({ value: spawn(job) }));
  else if (job.kind === "remove") answer(id, () => remove(job));
  else if (job.kind === "detached") answer(id, () => ({ value: detached(job) }));
  else if (job.kind === "mount") answer(id, () => mountInto(job, (setup as SpawnerSetup).hostMounts));
  else if (job.kind === "unmount") answer(id, () => ({ value: unmountFrom(job, (setup as SpawnerSetup).hostMounts) ? 1 : 0 }));
  else answer(id, () => ({ value: 0, data: compileSeccomp(job.filter) }));
};

function answer(id: number, work: () => { value: number; data?: Uint8Array } | void): void {
  let reply: SpawnerReply;
  try {
    reply = { id, value: 0, ...work() };
  } catch (error) {
    const { message, code } = error as SystemError;
    reply = { id, value: -1, error: { message, code: code ?? "" } };
  }
  self.postMessage(reply);
}

function begin(given: SpawnerSetup): void {
  setup = given;
  devNull = openFd("/dev/null", constants.O_RDWR);
  check(libc().unshare(CLONE_FS), "unshare");
  prepareNative();
  for (const file of given.tasksFiles) writeFileOnce(file, "0");
  if (given.bindRoot !== undefined) {
    // The one mount of ours in the host's table: what is mounted below a shared mount in a copy would appear in the host.
    const root = cstr(given.bindRoot);
    check(libc().mount(root, root, null, MS_BIND, null), "mount", given.bindRoot);
    check(libc().mount(null, root, null, MS_PRIVATE, null), "mount", given.bindRoot);
  }
}

function spawn(job: SpawnJob): number {
  const { hostMounts, hybrid } = setup as SpawnerSetup;
  const program = { ...job, fds: job.fds.map((fd) => (fd < 0 ? devNull : fd)) };
  const { overlay } = job;
  return withNull(job, (own) => {
    if (overlay)
      return withBinds(overlay, (places) =>
        withOverlay(overlay, (plan) => spawnWithMounts(program, { hostMounts, hybrid, overlay: plan, places: [...places, ...own] })),
      );
    return job.privateMounts || own.length > 0 ? spawnWithMounts(program, { hostMounts, hybrid, places: own }) : posixSpawn(program);
  });
}

/** Calls `use` with the place of a null device of the child's own, where it wants one. */
function withNull<T>({ ownNull, cwd }: SpawnJob, use: (places: Place[]) => T): T {
  if (ownNull !== true) return use([]);
  return withOwnNull(cwd, (mount) => use(mount === undefined ? [] : [{ mount, path: NULL }]));
}

/** Calls `use` with the mounts beside an overlay. */
function withBinds<T>({ binds = [], users }: Overlay, use: (places: Place[]) => T): T {
  const places: Place[] = [];
  try {
    for (const { source, place, recursive, mapped } of binds)
      places.push({ mount: detachedTree(source, { recursive, users: mapped ? users?.namespace : undefined }), path: place });
    return use(places);
  } finally {
    for (const { mount } of places) closeFd(mount);
  }
}

function detached(job: DetachedJob): number {
  const { hostMounts } = setup as SpawnerSetup;
  return detachView(job.overlay, (overlay) => {
    try {
      return detachedOverlay(overlay);
    } catch {
      return withOverlay(overlay, (plan) => detachInNamespace({ hostMounts, hybrid: false, overlay: plan }));
    }
  });
}

function remove({ cgroups, trees }: RemoveJob): void {
  for (const path of cgroups) unlinkPath(path, { directory: true });
  for (const path of trees) rmSync(path, { recursive: true, force: true });
}
