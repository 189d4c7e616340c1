import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Endpoint } from "./endpoint.ts";

type SshEndpoint = Extract<Endpoint, { kind: "ssh" }>;
type Pipe = Bun.Subprocess<"pipe", "pipe", "inherit">;

/** A unix socket of our own, each connection of which is one `ssh HOST docker system dial-stdio`, or lighter's. */
export interface SshTunnel extends AsyncDisposable {
  path: string;
}

/** What the other side runs: docker, or lighter where there is no docker. The login shell there may be any, so that sh is named. */
const REMOTE = `sh -c 'command -v docker >/dev/null 2>&1 && exec docker "$@"; exec lighter "$@"' -`;

/** The words of the ssh command; the system's ssh reads ~/.ssh/config, agents and known hosts as the user is used to. */
export function sshCommand(endpoint: SshEndpoint, remote = REMOTE): string[] {
  const words = ["ssh", "-o", "ConnectTimeout=30", "-T"];
  if (endpoint.user !== undefined) words.push("-l", endpoint.user);
  if (endpoint.port !== undefined) words.push("-p", endpoint.port);
  words.push("--", endpoint.host, remote);
  if (endpoint.socket !== undefined) words.push("--host", `unix://${endpoint.socket}`);
  return [...words, "system", "dial-stdio"];
}

/** Opens the tunnel; nothing is connected before the first connection is made to it. */
export async function openSshTunnel(endpoint: SshEndpoint, command = sshCommand(endpoint)): Promise<SshTunnel> {
  const folder = await mkdtemp(join(tmpdir(), "lighter-ssh-"));
  const path = join(folder, "s");
  const children = new Set<Pipe>();
  const server = Bun.listen<{ child: Pipe; flushed: Promise<unknown> }>({
    unix: path,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
        children.add(child);
        socket.data = { child, flushed: Promise.resolve() };
        void toSocket(child, socket).finally(() => children.delete(child));
      },
      data(socket, bytes) {
        const { child } = socket.data;
        void child.stdin.write(bytes);
        const flushed = child.stdin.flush();
        if (!(flushed instanceof Promise)) return;
        socket.pause();
        void flushed.then(
          () => socket.resume(),
          () => socket.end(),
        );
      },
      drain(socket) {
        wakers.get(socket)?.();
      },
      end(socket) {
        void socket.data.child.stdin.end();
      },
      close(socket) {
        socket.data.child.kill();
      },
    },
  });
  // The end of the program ends the tunnel, too, however it comes.
  const sweep = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", sweep);
  return {
    path,
    async [Symbol.asyncDispose]() {
      process.off("exit", sweep);
      server.stop(true);
      for (const child of children) child.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const wakers = new WeakMap<object, () => void>();

async function toSocket(child: Pipe, socket: Bun.Socket<unknown>): Promise<void> {
  for await (const bytes of child.stdout) {
    let at = 0;
    while (at < bytes.length) {
      const taken = socket.write(bytes.subarray(at));
      if (taken < 0) return;
      at += taken;
      if (at < bytes.length) await new Promise<void>((resolve) => wakers.set(socket, resolve));
    }
  }
  socket.end();
}
