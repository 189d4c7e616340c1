import { check, libc } from "./libc.ts";

/** `_LINUX_CAPABILITY_VERSION_3`. linux/capability.h */
const VERSION_3 = 0x20080522;
const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;

/**
 * Runs `act` while this thread makes files as another user of the host, with all its rights: what is made where only the users of a container are known must be one of theirs.
 * `act` is synchronous and makes system calls on files only.
 */
export function asUser<T>({ uid, gid }: { uid: number; gid: number }, act: () => T): T {
  const c = libc();
  const header = Uint32Array.of(VERSION_3, 0);
  const rights = new Uint32Array(6);
  check(c.capget(header, rights), "capget");
  const dumpable = c.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  try {
    c.setfsgid(gid);
    c.setfsuid(uid);
    // Those that go with root's number are taken back.
    check(c.capset(header, rights), "capset");
    return act();
  } finally {
    c.setfsuid(0);
    c.setfsgid(0);
    c.capset(header, rights);
    // The kernel takes a change of user for a reason to hide the process from others, the OCI runtimes among them.
    if (dumpable === 1) c.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  }
}
