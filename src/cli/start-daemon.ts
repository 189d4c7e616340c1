import { closeSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";

/** Where a daemon that was started in the background writes what it has to say. */
export const DAEMON_LOG = "/var/log/lighter.log";

const POLL_MS = 5;
/** A slow machine under load takes long; one that cannot start says so at once. */
const TIMEOUT_MS = 60_000;
/** What the daemon says when another one has won the lock. */
const LOST = "another one is running on it";
/** After that long it is tried again. */
const AGAIN_MS = 200;
const TAIL_LINES = 20;

/**
 * Starts the daemon in the background, in a session of its own, and waits until it listens. When several callers do so at
 * once, the daemon's lock lets one live; all wait for the same socket.
 * Throws `unavailable` with the log's end when it does not come up.
 */
export async function startDaemon(socket: string): Promise<void> {
  const log = openLog();
  const from = statSync(log.path).size;
  let child = spawnDaemon(log.fd);
  const deadline = performance.now() + TIMEOUT_MS;
  while (performance.now() < deadline) {
    if (await listens(socket)) break;
    if (child.exitCode !== null) {
      if (!logTail(log.path, from).includes(LOST)) break;
      // Who holds the lock is about to listen, or about to be gone for good.
      await Bun.sleep(AGAIN_MS);
      if (await listens(socket)) break;
      child = spawnDaemon(log.fd);
    }
    await Bun.sleep(POLL_MS);
  }
  closeSync(log.fd);
  if (await listens(socket)) return;
  const ended = child.exitCode === null ? "does not listen" : `ended with code ${child.exitCode}`;
  const tail = logTail(log.path, from);
  throw new LighterError(
    "unavailable",
    `Cannot start the daemon in the background: it ${ended}. The end of ${log.path}:${tail === "" ? " (nothing)" : `\n${tail}`}`,
  );
}

function spawnDaemon(log: number): Bun.Subprocess {
  const child = Bun.spawn(daemonCommand(), { cwd: "/", stdin: "ignore", stdout: log, stderr: log, detached: true });
  child.unref();
  return child;
}

/** The executable starts itself, out of the caller's cgroup, which may end with the caller's session; a run from source starts Bun with the same entry file. */
function daemonCommand(): string[] {
  const entry = process.argv[1] ?? "";
  const compiled = entry.startsWith("/$bunfs/");
  return [process.execPath, ...(compiled ? [] : [entry]), "daemon", "--own-cgroup"];
}

function openLog(): { fd: number; path: string } {
  try {
    return { fd: openSync(DAEMON_LOG, "a", 0o640), path: DAEMON_LOG };
  } catch {
    const folder = process.env["XDG_RUNTIME_DIR"] || "/tmp";
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `lighter-${process.getuid?.() ?? 0}.log`);
    return { fd: openSync(path, "a", 0o640), path };
  }
}

async function listens(socket: string): Promise<boolean> {
  try {
    const connection = await Bun.connect({ unix: socket, socket: { data() {} } });
    connection.terminate();
    return true;
  } catch {
    return false;
  }
}

function logTail(path: string, from: number): string {
  const text = readFileSync(path).subarray(from).toString();
  return text.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
}
