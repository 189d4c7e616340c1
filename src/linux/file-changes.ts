import { poller, type Source } from "./epoll.ts";
import { closeFd } from "./fd.ts";
import { check, cstr, errno, libc, systemError } from "./libc.ts";

const IN_NONBLOCK = 0o4000;
const IN_CLOEXEC = 0o2000000;
const IN_MODIFY = 0x2;
const EVENT_BYTES = 16;
const LENGTH_AT = 12;

/** The process's one inotify instance (a user has 128), open while something is watched. */
let instance: { fd: number; source: Source; watchers: Map<number, () => void> } | undefined;

/**
 * Calls `changed` at each change of a file's content (for a kernel's own file: when it says so). Closing the answer ends that, as does the
 * end of the file, silently. Throws ENOENT without such a file. A file may be watched once at a time.
 */
export function watchFile(path: string, changed: () => void): Disposable {
  const { fd, watchers } = (instance ??= open());
  const watch = libc().inotify_add_watch(fd, cstr(path), IN_MODIFY);
  if (watch < 0) {
    const failed = systemError("inotify_add_watch", errno(), path);
    closeUnused();
    throw failed;
  }
  watchers.set(watch, changed);
  return {
    [Symbol.dispose]: () => {
      if (watchers.get(watch) !== changed) return;
      watchers.delete(watch);
      libc().inotify_rm_watch(fd, watch);
      closeUnused();
    },
  };
}

function open(): NonNullable<typeof instance> {
  const fd = check(libc().inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify_init1");
  const watchers = new Map<number, () => void>();
  const source = poller().add(fd, "stream", ({ data }) => {
    const view = new DataView(data ?? new ArrayBuffer(0));
    for (let at = 0; at + EVENT_BYTES <= view.byteLength; at += EVENT_BYTES + view.getUint32(at + LENGTH_AT, true)) {
      // What IN_IGNORED says at the end of a file is left to the watcher's own `dispose`.
      if ((view.getUint32(at + 4, true) & IN_MODIFY) !== 0) watchers.get(view.getInt32(at, true))?.();
    }
  });
  return { fd, source, watchers };
}

function closeUnused(): void {
  if (instance === undefined || instance.watchers.size > 0) return;
  instance.source.close();
  closeFd(instance.fd);
  instance = undefined;
}
