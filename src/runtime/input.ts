import { LighterError } from "../base/errors.ts";
import { type Source, poller } from "../linux/epoll.ts";
import { closeFd } from "../linux/fd.ts";
import { stealInputPipe } from "../linux/input-pipe.ts";
import { ERRNO, errno, libc, systemError } from "../linux/libc.ts";
import { endPackets, sendPacket } from "../linux/packet-socket.ts";

/** conmon loses the tail of larger packets silently. */
const INPUT_PACKET = 8 << 10;

/** Where a process's input goes, piece by piece, in the order of the calls. */
export interface Input {
  /** Resolves when the process's side has taken it all. What comes after the end, or after the process has closed its input, is dropped. */
  write(data: Uint8Array): Promise<void>;
  /** End of input, after all that was written; only where it `canEnd`. */
  end(): void;
  close(): void;
}

export interface InputOptions {
  /** The attach socket, and its watch. */
  socket: number;
  output: Source;
  /** EOF is sent by `end`; else the input stays open whatever clients do. */
  canEnd: boolean;
  alive: () => boolean;
  /** Undefined for a terminal. */
  pipe: { pid: number; monitor: number; monitorPidfd: number } | undefined;
}

/**
 * The input of one process. Where it is a pipe, it is written to directly, past conmon, which would spin for ever once the process has
 * closed its end; a terminal's goes through the attach socket.
 */
export function openInput(options: InputOptions): Input {
  const { pipe } = options;
  const fd = pipe === undefined ? undefined : stealInputPipe(pipe.pid, pipe.monitor, pipe.monitorPidfd);
  const send = fd === undefined ? socketSender(options) : pipeSender(fd, options);
  let ended = false;
  let queue: Promise<void> = Promise.resolve();
  return {
    write(data) {
      if (ended) return Promise.resolve();
      const sent = queue.then(() => send.all(data));
      queue = sent.catch(() => undefined);
      return sent;
    },
    end() {
      if (ended || !options.canEnd) return;
      ended = true;
      queue = queue.then(() => {
        send.close();
        endPackets(options.socket);
      });
    },
    close() {
      ended = true;
      send.close();
    },
  };
}

interface Sender {
  all(data: Uint8Array): Promise<void>;
  close(): void;
}

function socketSender({ socket, output, alive }: InputOptions): Sender {
  return {
    async all(data) {
      for (let at = 0; at < data.length;) {
        if (!alive()) throw ended();
        const piece = data.subarray(at, at + INPUT_PACKET);
        if (sendPacket(socket, piece)) at += piece.length;
        else await output.writable();
      }
    },
    close: () => undefined,
  };
}

function pipeSender(fd: number, { alive }: InputOptions): Sender {
  let open = true;
  // Fires once, when the process has closed its end: it wakes whoever waits for room.
  const watch = poller().add(fd, "ready", () => undefined);
  return {
    async all(data) {
      for (let at = 0; at < data.length && open;) {
        if (!alive()) throw ended();
        const rest = data.subarray(at);
        const count = Number(libc().write(fd, rest, rest.length));
        if (count >= 0) at += count;
        else if (errno() === ERRNO.EPIPE) return;
        else if (errno() === ERRNO.EAGAIN) await watch.writable();
        else if (errno() !== ERRNO.EINTR) throw systemError("write", errno(), "the input of a container");
      }
    },
    close() {
      if (!open) return;
      open = false;
      watch.close();
      closeFd(fd);
    },
  };
}

function ended(): LighterError {
  return new LighterError("conflict", "Cannot send input: the process has ended");
}
