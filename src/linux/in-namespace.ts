import { check, cstr, errno, libc, systemError } from "./libc.ts";

const O_RDONLY_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;
const OWN = cstr("/proc/thread-self/ns/net");

let home: number | undefined;

/** The network namespace that this thread lives in, as a descriptor that is opened once and kept. */
export function homeNamespace(): number {
  return (home ??= openOwn());
}

/**
 * Runs `act` while this thread stands in another network namespace, and comes back.
 * `act` is synchronous and makes raw system calls through {@link libc} only, never a Bun or Node call: threads that the runtime
 * starts meanwhile would stay in the foreign namespace for ever. If the way back fails the process ends, as nothing that followed could be trusted.
 */
export function inNamespace<T>(namespace: number, act: () => T): T {
  const back = homeNamespace();
  check(libc().setns(namespace, CLONE_NEWNET), "setns", "network namespace");
  try {
    return act();
  } finally {
    comeBack(back);
  }
}

/** Makes a network namespace and returns a descriptor of it (close-on-exec), the only thing that keeps it alive; `act` runs inside of it as in {@link inNamespace}. */
export function newNamespace<T>(act: () => T): { fd: number; result: T } {
  const back = homeNamespace();
  check(libc().unshare(CLONE_NEWNET), "unshare", "network namespace");
  let fd = -1;
  try {
    fd = openOwn();
    return { fd, result: act() };
  } catch (error) {
    if (fd >= 0) libc().close(fd);
    throw error;
  } finally {
    comeBack(back);
  }
}

/** Opens the namespace of a process (`/proc/<pid>/ns/net`) or any other path of one. Throws ENOENT when the process is gone. */
export function openNamespace(path: string): number {
  return check(libc().open(cstr(path), O_RDONLY_CLOEXEC, 0), "open", path);
}

function openOwn(): number {
  return check(libc().open(OWN, O_RDONLY_CLOEXEC, 0), "open", "/proc/thread-self/ns/net");
}

function comeBack(back: number): void {
  if (libc().setns(back, CLONE_NEWNET) === 0) return;
  console.error(`Cannot come back to the host's network namespace: ${systemError("setns", errno()).message}`);
  process.abort();
}
