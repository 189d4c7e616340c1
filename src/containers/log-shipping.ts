import { LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { reasonOf } from "../linux/lasting-worker.ts";
import type { Task } from "../runtime/runtime.ts";
import type { State } from "../state/state.ts";
import type { Attachment, OutputSink } from "../wire/stream.ts";
import { tell } from "./context.ts";
import { SHIPPING_DRIVERS } from "./log-options.ts";
import type { ShipOrder, ShipReport } from "./log-ship-protocol.ts";
import type { ShipPosition } from "./log-spool.ts";
import { subjectOf } from "./log-subject.ts";
import { hasJournal } from "./log-to-journald.ts";
import { localSyslog, tlsOf } from "./log-to-syslog.ts";
import type { ContainersOptions } from "./needs.ts";
import { pathsOf } from "./paths.ts";
import { type ContainerRow, rowById, setLogState } from "./rows.ts";

const log = logOf("containers");

/** New output is told to the Worker at most this often. */
const TELL_MILLISECONDS = 50;
/** So many threads may die in a row before logs are not sent any more. */
const MOST_DEATHS = 3;
/** A Worker without work is ended after this. */
const IDLE = 30_000;

/** A container whose log is on its way. */
interface Shipment {
  done: Promise<void>;
  settle: () => void;
  /** Gives its orders once more, to another thread. */
  repeat: () => void;
  troubled: boolean;
  attachment: Attachment | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Whether a container's log is sent away. */
export function isShipped(row: ContainerRow): boolean {
  return SHIPPING_DRIVERS.has(row.desired.hostConfig.LogConfig?.Type ?? "");
}

/** Refuses to start what has nowhere to send its log to, with Docker's sentences. A receiver that is away for now is waited for: the file is the spool. */
export function checkReceiver(row: ContainerRow): void {
  const { Type: driver, Config: options = {} } = row.desired.hostConfig.LogConfig ?? {};
  const failed = (text: string, kind: "unavailable" | "invalid"): LighterError =>
    new LighterError(kind, `failed to initialize logging driver: ${text}`);
  if (driver === "journald" && !hasJournal()) throw failed("journald is not enabled on this host", "unavailable");
  if (driver !== "syslog") return;
  const address = options["syslog-address"] ?? "";
  if (address === "" && localSyslog() === undefined) throw failed("Unix syslog delivery error", "unavailable");
  if (!address.startsWith("tcp+tls:")) return;
  try {
    tlsOf(options);
  } catch (error) {
    throw failed(messageOf(error), "invalid");
  }
}

/** Sends the logs of containers away, in a Worker, and stores how far each one is. */
export class LogShipping {
  readonly #state: State;
  readonly #options: ContainersOptions;
  readonly #shipments = new Map<string, Shipment>();
  #worker: Worker | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  /** Threads that died since one last reported something. */
  #deaths = 0;

  constructor(state: State, options: ContainersOptions) {
    this.#state = state;
    this.#options = options;
  }

  /** Ships what there is, and with a task what it writes until it has ended. Nothing happens for drivers that keep their logs here. */
  begin(row: ContainerRow, task?: Task): void {
    if (!isShipped(row) || this.#closed) return;
    const before = this.#shipments.get(row.id);
    if (before !== undefined) {
      // What an earlier run left is still on its way: one after the other.
      void before.done.then(() => this.begin(row, task));
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    let ended = task === undefined;
    const repeat = (): void => {
      this.#orderStart(row);
      if (ended) this.#order({ type: "ended", id: row.id });
    };
    const shipment: Shipment = { done: promise, settle: resolve, repeat, troubled: false, attachment: undefined, timer: undefined };
    this.#shipments.set(row.id, shipment);
    repeat();
    if (task === undefined) return;
    shipment.attachment = task.attach(this.#teller(row.id, shipment), { stdin: false, stdout: true, stderr: true });
    void task.exited.then(() => {
      ended = true;
      this.#order({ type: "ended", id: row.id });
    });
  }

  #orderStart(row: ContainerRow): void {
    this.#order({
      type: "start",
      id: row.id,
      current: pathsOf(this.#options, row.id).log,
      driver: row.desired.hostConfig.LogConfig?.Type ?? "",
      options: row.desired.hostConfig.LogConfig?.Config ?? {},
      subject: subjectOf(row),
      position: rowById(this.#state, row.id)?.log?.shipped,
    });
  }

  /** The file behind which nothing is on its way any more: older ones may be changed. Undefined when nothing was shipped yet. */
  shippedFile(id: string): number | undefined {
    return rowById(this.#state, id)?.log?.shipped?.inode;
  }

  /** Waits, for a while, until all of a log is sent; a receiver that is not there is not waited for. What is left is dropped. */
  async finish(id: string, milliseconds: number): Promise<void> {
    const shipment = this.#shipments.get(id);
    if (shipment === undefined) return;
    const late = performance.now() + milliseconds;
    let over = false;
    void shipment.done.then(() => (over = true));
    while (!over && !shipment.troubled && performance.now() < late) await Promise.race([shipment.done, Bun.sleep(TELL_MILLISECONDS)]);
    if (this.#shipments.get(id) !== shipment) return;
    log.warn("the log of {id} could not be sent in full before it was removed", { id });
    this.#order({ type: "stop", id });
  }

  /** Ends the Worker; what is on its way is sent again by the next daemon. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#shipments.values()) clearTimeout(timer);
    clearTimeout(this.#idle);
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #teller(id: string, shipment: Shipment): OutputSink {
    const told = (): boolean => {
      shipment.timer ??= setTimeout(() => {
        shipment.timer = undefined;
        this.#order({ type: "more", id });
      }, TELL_MILLISECONDS).unref();
      return true;
    };
    return {
      write: told,
      passed: told,
      drained: () => Promise.resolve(),
      end: () => undefined,
    };
  }

  #order(order: ShipOrder): void {
    if (this.#closed || !this.#shipments.has(order.id)) return;
    clearTimeout(this.#idle);
    this.#worker ??= this.#startWorker();
    this.#worker.postMessage(order);
  }

  #startWorker(): Worker {
    const worker = new Worker(new URL("./log-ship.worker.ts", import.meta.url));
    worker.addEventListener("message", ({ data }: MessageEvent<ShipReport>) => this.#take(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#lose(worker, reasonOf(event.message));
    });
    worker.addEventListener("close", () => this.#lose(worker, "it ended"));
    (worker as unknown as { unref(): void }).unref();
    return worker;
  }

  /** The thread is gone: another one goes on where the receivers have said that they are. What kills each of them is not tried for ever. */
  #lose(worker: Worker, why: string): void {
    if (this.#closed || this.#worker !== worker) return;
    this.#worker = undefined;
    if (++this.#deaths > MOST_DEATHS) {
      log.error("logs are not sent any more, their thread dies each time: {why}", { why });
      for (const id of [...this.#shipments.keys()]) this.#settle(id);
      return;
    }
    log.error("the thread that sends logs died, another one takes its place: {why}", { why });
    for (const shipment of this.#shipments.values()) shipment.repeat();
  }

  #take(report: ShipReport): void {
    if (this.#closed) return;
    this.#deaths = 0;
    const shipment = this.#shipments.get(report.id);
    if (report.type === "taken") this.#store(report.id, report.position);
    else if (report.type === "done") this.#settle(report.id);
    else if (report.type === "gap") this.#tellGap(report.id);
    else if (shipment !== undefined) {
      shipment.troubled = report.type === "trouble";
      if (report.type === "trouble") log.warn("cannot send the log of {id}, it is kept: {error}", { id: report.id, error: report.text });
      else log.info("the log of {id} is sent again", { id: report.id });
    }
  }

  /** Said as an event, too: who relies on the receiver must know. */
  #tellGap(id: string): void {
    log.warn("lines of {id} went before they could be sent: its spool was full", { id });
    const row = rowById(this.#state, id);
    if (row !== undefined) this.#state.write((tx) => tell(tx, row, "log-loss", { reason: "not sent" }), { durable: false });
  }

  #store(id: string, shipped: ShipPosition): void {
    try {
      this.#state.write((tx) => setLogState(tx, id, { v: 1, shipped }), { durable: false });
    } catch (error) {
      log.warn("cannot store how far the log of {id} was sent: {error}", { id, error: messageOf(error) });
    }
    this.#order({ type: "stored", id });
  }

  #settle(id: string): void {
    const shipment = this.#shipments.get(id);
    this.#shipments.delete(id);
    clearTimeout(shipment?.timer);
    shipment?.attachment?.detach();
    shipment?.settle();
    if (this.#shipments.size > 0) return;
    this.#idle = setTimeout(() => {
      this.#worker?.terminate();
      this.#worker = undefined;
    }, IDLE).unref();
  }
}
