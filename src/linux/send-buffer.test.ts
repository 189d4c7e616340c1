import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeFd } from "./fd.ts";
import { libc } from "./libc.ts";
import { openPidfd } from "./pidfd.ts";
import { connectPackets, sendPacket } from "./packet-socket.ts";
import { hasAcceptedPackets, narrowSockets } from "./send-buffer.ts";

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_STREAM = 1;

/** Listens at a path, and accepts one connection when it is told to. */
const LISTENER = `
use Socket;
$| = 1;
socket(LISTENER, AF_UNIX, ${SOCK_SEQPACKET}, 0) && bind(LISTENER, sockaddr_un($ARGV[0])) && listen(LISTENER, 10) && print "listens\n";
<STDIN>;
accept(CONNECTION, LISTENER) && print "accepted\n";
<STDIN>;
`;

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

test.skipIf(process.getuid?.() !== 0)("a connection that nobody has accepted is told from one that is", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-accept-"));
  const path = join(folder, "socket");
  const child = Bun.spawn(["perl", "-e", LISTENER, path], { stdin: "pipe", stdout: "pipe" });
  const told = child.stdout.getReader();
  const pidfd = openPidfd(child.pid) ?? -1;
  let connection = -1;
  try {
    await told.read();
    connection = connectPackets(path);
    expect(hasAcceptedPackets({ pid: child.pid, pidfd })).toBe(false);
    void child.stdin.write("now\n");
    await child.stdin.flush();
    expect(Buffer.from((await told.read()).value ?? []).toString()).toBe("accepted\n");
    expect(hasAcceptedPackets({ pid: child.pid, pidfd })).toBe(true);
    expect(hasAcceptedPackets({ pid: child.pid, pidfd: -1 })).toBeUndefined();
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    closeFd(connection, pidfd);
    rmSync(folder, { recursive: true });
  }
});
