import { closeFd } from "./fd.ts";
import { check, libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** `sun_path` of sockaddr_un. */
const PATH_BYTES = 108;

/**
 * Tells the service manager that started this process how it fares (`READY=1`, `STOPPING=1`): sd_notify(3). Returns false where nobody
 * asked for it by `NOTIFY_SOCKET`. Throws a system error when the manager's socket is gone.
 */
export function tellServiceManager(state: string, socket = process.env["NOTIFY_SOCKET"] ?? ""): boolean {
  // "@" stands for the NUL of an abstract name.
  if (!/^[@/]/.test(socket) || Buffer.byteLength(socket) >= PATH_BYTES) return false;
  const name = Buffer.from(socket.replace(/^@/, "\0"));
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  const text = Buffer.from(state);
  const fd = check(libc().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  try {
    check(libc().sendto(fd, text, text.length, MSG_NOSIGNAL, address, address.length), "sendto", socket);
    return true;
  } finally {
    closeFd(fd);
  }
}
