/** Ships logs from their files to their receivers, of all containers: `log-shipping.ts` gives the orders and stores how far each one is. */
import { messageOf } from "../base/errors.ts";
import type { LogReceiver } from "./log-message.ts";
import type { ShipOrder, ShipReport } from "./log-ship-protocol.ts";
import { type Batch, Spool } from "./log-spool.ts";
import { fluentdReceiver } from "./log-to-fluentd.ts";
import { gelfReceiver } from "./log-to-gelf.ts";
import { journaldReceiver } from "./log-to-journald.ts";
import { syslogReceiver } from "./log-to-syslog.ts";

declare const self: Worker;

/** Between two tries to reach a receiver. */
const FIRST_WAIT = 100;
const LONGEST_WAIT = 5000;

type Start = Extract<ShipOrder, { type: "start" }>;

/** One container's log on its way. */
class Ship {
  readonly #start: Start;
  readonly #spool: Spool;
  readonly #receiver: LogReceiver;
  #more = true;
  #ended = false;
  #stopped = false;
  #wake: (() => void) | undefined;
  #stored: (() => void) | undefined;

  constructor(start: Start) {
    this.#start = start;
    this.#spool = new Spool(start.current, start.position);
    this.#receiver = receiverOf(start);
  }

  tell(type: "more" | "ended" | "stored" | "stop"): void {
    if (type === "stored") return this.#stored?.();
    if (type === "ended") this.#ended = true;
    if (type === "stop") this.#stopped = true;
    this.#more = true;
    this.#wake?.();
    if (this.#stopped) this.#stored?.();
  }

  async run(): Promise<void> {
    try {
      await this.#ship();
    } catch (error) {
      report({ type: "trouble", id: this.#start.id, text: messageOf(error) });
    }
    this.#spool.close();
    this.#receiver.close();
    report({ type: "done", id: this.#start.id });
  }

  async #ship(): Promise<void> {
    while (!this.#stopped) {
      const ended = this.#ended;
      this.#more = false;
      const batch = await this.#spool.next();
      if (this.#spool.gap) report({ type: "gap", id: this.#start.id });
      this.#spool.gap = false;
      if (batch.messages.length > 0) await this.#deliver(batch);
      else if (ended) return await this.#deliver(this.#spool.rest());
      else if (!this.#more) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Until the receiver has it, and that is stored: the next batch waits, so that no more than one is ever sent again. */
  async #deliver({ messages, position }: Batch): Promise<void> {
    const { id } = this.#start;
    let troubled = false;
    for (let wait = FIRST_WAIT; messages.length > 0; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        await this.#receiver.send(messages);
        break;
      } catch (error) {
        if (!troubled) report({ type: "trouble", id, text: messageOf(error) });
        troubled = true;
        await Promise.race([Bun.sleep(wait), new Promise<void>((resolve) => (this.#wake = resolve))]);
        if (this.#stopped) return;
      }
    }
    if (troubled) report({ type: "relief", id });
    const stored = new Promise<void>((resolve) => (this.#stored = resolve));
    report({ type: "taken", id, position });
    await stored;
  }
}

function receiverOf({ driver, options, subject }: Start): LogReceiver {
  if (driver === "syslog") return syslogReceiver(subject, options);
  if (driver === "journald") return journaldReceiver(subject);
  return driver === "gelf" ? gelfReceiver(subject, options) : fluentdReceiver(subject, options);
}

function report(message: ShipReport): void {
  self.postMessage(message);
}

const ships = new Map<string, Ship>();

self.onmessage = ({ data }: MessageEvent<ShipOrder>) => {
  if (data.type !== "start") return ships.get(data.id)?.tell(data.type);
  try {
    const ship = new Ship(data);
    ships.set(data.id, ship);
    void ship.run().finally(() => {
      if (ships.get(data.id) === ship) ships.delete(data.id);
    });
  } catch (error) {
    report({ type: "trouble", id: data.id, text: messageOf(error) });
    report({ type: "done", id: data.id });
  }
};
