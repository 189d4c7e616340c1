import { expect, test } from "bun:test";
import { closeFd } from "./fd.ts";
import { libc } from "./libc.ts";
import { openPidfd } from "./pidfd.ts";
import { sendPacket } from "./packet-socket.ts";
import { narrowSockets } from "./send-buffer.ts";

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_STREAM = 1;

function pair(type: number): [number, number] {
  const fds = new Int32Array(2);
  libc().socketpair(AF_UNIX, type, 0, fds);
  return [fds[0] ?? -1, fds[1] ?? -1];
}

/** How many packets of 8 KiB a socket takes that nobody reads from. */
function room(fd: number): number {
  let packets = 0;
  while (sendPacket(fd, new Uint8Array(8193))) packets++;
  return packets;
}

test.skipIf(process.getuid?.() !== 0)("packet sockets of a process hold less, others as much as before", () => {
  const pidfd = openPidfd(process.pid) ?? -1;
  const [wide, wideEnd] = pair(SOCK_SEQPACKET);
  const before = room(wide);
  closeFd(wide, wideEnd);
  const [packets, end] = pair(SOCK_SEQPACKET);
  const [stream, streamEnd] = pair(SOCK_STREAM);
  try {
    // Earlier tests of this process may have left some.
    expect(narrowSockets({ pid: process.pid, pidfd }, 16 << 10)).toBeGreaterThanOrEqual(2);
    const after = room(packets);
    expect(after).toBeGreaterThan(0);
    expect(after).toBeLessThan(before / 2);
    expect(narrowSockets({ pid: 2 ** 22 + 1, pidfd }, 16 << 10)).toBe(0);
  } finally {
    closeFd(packets, end, stream, streamEnd, pidfd);
  }
});
