import { check, libc } from "./libc.ts";

/** `SD_LISTEN_FDS_START`. */
const FIRST = 3;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;

/** A socket that listens already when the process starts. */
export interface PassedSocket {
  fd: number;
  /** Its `FileDescriptorName=`; `unknown` where there is none. */
  name: string;
  /** A path, empty for an abstract name, or an address. */
  local: { kind: "unix"; path: string } | { kind: "tcp"; hostname: string; port: number };
}

/**
 * The sockets that the service manager has opened for this process: sd_listen_fds(3). They are not for its children. Empty where there are none, or they are another
 * process's; what does not listen is left out.
 */
export function passedSockets(env: Readonly<Record<string, string | undefined>> = process.env, pid = process.pid): PassedSocket[] {
  const count = Number(env["LISTEN_FDS"] ?? 0);
  if (Number(env["LISTEN_PID"]) !== pid || !Number.isSafeInteger(count) || count < 1) return [];
  const names = (env["LISTEN_FDNAMES"] ?? "").split(":");
  const found: PassedSocket[] = [];
  for (let fd = FIRST; fd < FIRST + count; fd++) {
    const local = listensAt(fd);
    if (local === undefined) continue;
    check(libc().fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl", "F_SETFD");
    found.push({ fd, name: names[fd - FIRST] || "unknown", local });
  }
  return found;
}

function listensAt(fd: number): PassedSocket["local"] | undefined {
  const flag = new Int32Array(1);
  const size = Uint32Array.of(4);
  if (libc().getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, flag, size) !== 0 || flag[0] !== 1) return undefined;
  const address = new Uint8Array(128);
  size[0] = address.length;
  check(libc().getsockname(fd, address, size), "getsockname");
  const view = new DataView(address.buffer);
  const family = view.getUint16(0, true);
  if (family === AF_UNIX) return { kind: "unix", path: textOf(address.subarray(2, size[0])) };
  const port = view.getUint16(2);
  if (family === AF_INET) return { kind: "tcp", hostname: address.subarray(4, 8).join("."), port };
  if (family !== AF_INET6) return undefined;
  const words = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index).toString(16));
  // The shortest form of the one that is asked for: whoever passes "::" or "::1" says so.
  const plain = words.join(":");
  return { kind: "tcp", hostname: plain === "0:0:0:0:0:0:0:0" ? "::" : plain === "0:0:0:0:0:0:0:1" ? "::1" : plain, port };
}

function textOf(path: Uint8Array): string {
  const end = path.indexOf(0);
  return Buffer.from(end < 0 ? path : path.subarray(0, end)).toString();
}
