import { now } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { logOf } from "../base/log.ts";
import type { State, Tx } from "../state/state.ts";
import type { WebhookSettings } from "./settings.ts";

/** Something that happened to the registry's contents. */
export interface RegistryEvent {
  action: "push" | "pull" | "delete" | "mount";
  repository: string;
  digest?: string;
  tag?: string;
  mediaType?: string;
  /** Bytes. */
  size?: number;
  /** Where a mounted blob comes from. */
  fromRepository?: string;
  /** Who asked for it, and how. */
  request?: { id?: string; addr?: string; host?: string; method?: string; useragent?: string };
  /** How the client reached the registry: `https://registry.example.com`. */
  origin?: string;
  /** The name that the client has proved to have. */
  actor?: string;
}

/** Tells receivers what happens, in the shapes of docker-registry's notifications. */
export interface Notices extends AsyncDisposable {
  /** Puts the event into the queue of each receiver; it is told once the transaction is committed. */
  record(tx: Tx, event: RegistryEvent): void;
  /** As `record`, in a transaction of its own; nothing is written where nobody wants to know. */
  tell(event: RegistryEvent): void;
}

const MEDIA_TYPE = "application/vnd.docker.distribution.events.v1+json";
/** Events of one request at most. */
const BATCH = 100;
/** What a receiver that is away for long can still get, in events. */
const QUEUE = 100_000;
const LONGEST_WAIT = 10 * 60_000;

interface NoticeRow {
  sequence: number;
  attempts: number;
  body_json: string;
}

/** Opens the queue and goes on with what a process before left in it. */
export function openNotices(state: State, receivers: readonly WebhookSettings[], host: string): Notices {
  const source = { addr: host, instanceID: newId() };
  const senders = receivers.map((receiver) => new Sender(state, receiver));

  function record(tx: Tx, event: RegistryEvent): void {
    const wanted = senders.filter(({ receiver }) => receiver.actions.length === 0 || receiver.actions.includes(event.action));
    if (wanted.length === 0) return;
    const body = JSON.stringify(envelopeOf(event, source));
    for (const { receiver } of wanted)
      tx.run("INSERT INTO registry_notices (receiver, due, body_json) VALUES (?, 0, ?)", receiver.name, body);
    tx.afterCommit(() => wanted.forEach((sender) => sender.wake()));
  }

  const names = JSON.stringify(receivers.map(({ name }) => name));
  state.write((tx) => void tx.run("DELETE FROM registry_notices WHERE receiver NOT IN (SELECT value FROM json_each(?))", names), {
    durable: false,
  });
  for (const sender of senders) sender.wake();
  return {
    record,
    tell(event) {
      if (senders.length > 0) state.write((tx) => record(tx, event), { durable: false });
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(senders.map((sender) => sender.stop()));
    },
  };
}

/** One event as receivers of docker-registry know it. https://distribution.github.io/distribution/about/notifications/ */
function envelopeOf(event: RegistryEvent, source: { addr: string; instanceID: string }): object {
  const { action, repository, digest, tag, mediaType, size, fromRepository, request, origin, actor } = event;
  const base = `${origin ?? `http://${source.addr}`}/v2/${repository}`;
  const kind = mediaType?.includes("manifest") === true || mediaType?.includes("index") === true ? "manifests" : "blobs";
  const target = {
    ...(mediaType === undefined ? {} : { mediaType }),
    ...(size === undefined ? {} : { size, length: size }),
    ...(digest === undefined ? {} : { digest, url: `${base}/${kind}/${digest}` }),
    repository,
    ...(fromRepository === undefined ? {} : { fromRepository }),
    ...(tag === undefined ? {} : { tag }),
  };
  const id = crypto.randomUUID();
  return {
    id,
    timestamp: new Date().toISOString(),
    action,
    target,
    request: request ?? {},
    actor: actor === undefined ? {} : { name: actor },
    source,
  };
}

/** Sends one receiver's queue, in order; what does not get through is sent again, later and later. */
class Sender {
  readonly receiver: WebhookSettings;
  readonly #state: State;
  readonly #stopped = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> | undefined;

  constructor(state: State, receiver: WebhookSettings) {
    this.#state = state;
    this.receiver = receiver;
  }

  /** Looks at the queue soon. */
  wake(): void {
    if (this.#sending !== undefined || this.#timer !== undefined || this.#stopped.signal.aborted) return;
    this.#later(0);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    clearTimeout(this.#timer);
    await this.#sending;
  }

  #later(wait: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sending = this.#sendAll().then(
        (again) => this.#rest(again),
        (error: unknown) => {
          logOf("registry").error("notices to {receiver} stop: {why}", { receiver: this.receiver.name, why: messageOf(error) });
          this.#rest(LONGEST_WAIT);
        },
      );
    }, wait);
    this.#timer.unref();
  }

  #rest(wait: number | undefined): void {
    this.#sending = undefined;
    if (this.#stopped.signal.aborted) return;
    if (wait !== undefined) this.#later(wait);
    else if (this.#next(1).length > 0) this.#later(0);
  }

  /** Undefined once the queue is empty; else the milliseconds to wait. */
  async #sendAll(): Promise<number | undefined> {
    while (!this.#stopped.signal.aborted) {
      const rows = this.#next(BATCH);
      const [first, last] = [rows[0], rows.at(-1)];
      if (first === undefined || last === undefined) return undefined;
      const failure = await this.#post(rows);
      if (this.#stopped.signal.aborted) return undefined;
      if (failure !== undefined) return this.#failed(first, failure);
      this.#drop(last.sequence);
    }
    return undefined;
  }

  #next(limit: number): NoticeRow[] {
    const sql = "SELECT sequence, attempts, body_json FROM registry_notices WHERE receiver = ? ORDER BY sequence LIMIT ?";
    return this.#state.all<NoticeRow>(sql, this.receiver.name, limit);
  }

  #drop(through: number): void {
    const sql = "DELETE FROM registry_notices WHERE receiver = ? AND sequence <= ?";
    this.#state.write((tx) => void tx.run(sql, this.receiver.name, through), { durable: false });
  }

  /** Why it did not get through; undefined where it did. */
  async #post(rows: readonly NoticeRow[]): Promise<string | undefined> {
    const { url, headers, timeout } = this.receiver;
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(timeout)]);
    const body = `{"events":[${rows.map(({ body_json }) => body_json).join(",")}]}`;
    try {
      const response = await fetch(url, { method: "POST", headers: { ...headers, "content-type": MEDIA_TYPE }, body, signal });
      await response.body?.cancel().catch(() => undefined);
      return response.ok ? undefined : `it answered ${response.status}`;
    } catch (error) {
      return messageOf(error);
    }
  }

  #failed(row: NoticeRow, why: string): number {
    const attempts = row.attempts + 1;
    const wait = Math.min(LONGEST_WAIT, 250 * 2 ** Math.min(attempts, 12));
    logOf("registry").warn("cannot tell {receiver}: {why}; again in {wait} ms", { receiver: this.receiver.name, why, wait });
    this.#state.write(
      (tx) => {
        const due = now() + BigInt(wait) * 1_000_000n;
        tx.run("UPDATE registry_notices SET attempts = ?, due = ? WHERE sequence = ?", attempts, due, row.sequence);
        const oldest = "SELECT sequence FROM registry_notices WHERE receiver = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?";
        tx.run(
          `DELETE FROM registry_notices WHERE receiver = ? AND sequence <= (${oldest})`,
          this.receiver.name,
          this.receiver.name,
          QUEUE,
        );
      },
      { durable: false },
    );
    return wait;
  }
}
