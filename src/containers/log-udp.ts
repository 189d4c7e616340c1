import { lookup } from "node:dns/promises";
import type { LogAddress } from "./log-address.ts";

/** The kernel's buffer is full: it is tried again after this. */
const FULL_MILLISECONDS = 5;

/** Sends datagrams to one place; whether they arrive nobody tells. */
export class UdpSender {
  readonly #address: LogAddress;
  #socket: Promise<Bun.udp.ConnectedSocket<"buffer">> | undefined;

  constructor(address: LogAddress) {
    this.#address = address;
  }

  async send(datagrams: readonly Uint8Array[]): Promise<void> {
    const socket = await (this.#socket ??= this.#open());
    for (const datagram of datagrams) while (!sent(socket, datagram)) await Bun.sleep(FULL_MILLISECONDS);
  }

  close(): void {
    void this.#socket?.then((socket) => socket.close()).catch(() => undefined);
    this.#socket = undefined;
  }

  async #open(): Promise<Bun.udp.ConnectedSocket<"buffer">> {
    try {
      const { address } = await lookup(this.#address.host || "127.0.0.1");
      return await Bun.udpSocket({ connect: { hostname: address, port: this.#address.port }, socket: { error: () => undefined } });
    } catch (error) {
      this.#socket = undefined;
      throw error;
    }
  }
}

/** A refusal belongs to an earlier datagram: the receiver may be back by the next. */
function sent(socket: Bun.udp.ConnectedSocket<"buffer">, datagram: Uint8Array): boolean {
  try {
    return socket.send(datagram);
  } catch (error) {
    if ((error as { code?: string }).code === "ECONNREFUSED") return true;
    throw error;
  }
}
