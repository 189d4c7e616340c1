import { poller } from "./epoll.ts";
import { closeFd, openFd, writeFileOnce } from "./fd.ts";
import { check, libc } from "./libc.ts";

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const O_RDONLY = 0;

/**
 * cgroup v1: calls back when a memory cgroup runs out, just before the kernel kills, and once more when the cgroup is removed.
 * Throws without such a cgroup. https://docs.kernel.org/admin-guide/cgroup-v1/memory.html (10. OOM Control)
 * @param directory the cgroup in the hierarchy of `memory`
 */
export function noticeOom(directory: string, changed: () => void): Disposable {
  const notices = check(libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  try {
    const control = openFd(`${directory}/memory.oom_control`, O_RDONLY);
    try {
      writeFileOnce(`${directory}/cgroup.event_control`, `${notices} ${control}`);
    } finally {
      closeFd(control);
    }
  } catch (error) {
    closeFd(notices);
    throw error;
  }
  const source = poller().add(notices, "stream", ({ data }) => {
    if (data !== undefined && data.byteLength > 0) changed();
  });
  return {
    [Symbol.dispose]: () => {
      source.close();
      closeFd(notices);
    },
  };
}
