import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** Milliseconds between two slices of a connection. */
const TICK = 2;

/** A slow line to a server: every connection gets so many bytes a second, and every byte that goes down it is counted. */
export class SlowLine {
  /** `127.0.0.1:<port>`, in the place of the server's own address. */
  readonly host: string;
  /** Bytes of answers that went to clients. */
  received = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** @param target `host:port`; @param rate bytes a second of one connection */
  static async to(target: string, rate: number): Promise<SlowLine> {
    const [hostname = "", port = ""] = target.split(":");
    const sockets = new Set<Socket>();
    let line: SlowLine | undefined;
    const server = createServer({ allowHalfOpen: false }, (client) => {
      const upstream = connect(Number(port), hostname);
      for (const socket of [client, upstream]) sockets.add(socket);
      const end = (): void => {
        for (const socket of [client, upstream]) {
          socket.destroy();
          sockets.delete(socket);
        }
      };
      client.on("data", (piece) => void upstream.write(piece));
      for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
      void relay(upstream, client, Math.ceil((rate * TICK) / 1000), (bytes) => {
        if (line !== undefined) line.received += bytes;
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (line = new SlowLine(server, sockets));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Hands slices on, the next one only when the last one has left and its time is over. */
async function relay(from: Socket, to: Socket, slice: number, count: (bytes: number) => void): Promise<void> {
  try {
    for await (const piece of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < piece.length; at += slice) {
        const part = piece.subarray(at, at + slice);
        count(part.length);
        await new Promise<void>((resolve, reject) => to.write(part, (error) => (error ? reject(error) : resolve())));
        if (piece.length >= slice) await Bun.sleep(TICK);
      }
    }
  } catch {
    // One of the two has gone: so does the other.
  } finally {
    to.destroy();
    from.destroy();
  }
}
