import type { Engine } from "../engine/engine.ts";
import type { ByteStream, Take } from "../transport/byte-stream.ts";
import type { AnswerStream } from "../transport/exchange.ts";
import { FrameDecoder, STREAM } from "../wire/stdcopy.ts";
import { answerRequest } from "./door.ts";
import type { Answer } from "./call.ts";

/** What a test's request got back, streams read to their end. */
export interface Outcome {
  status: number;
  headers: Record<string, string>;
  /** Parsed, when the answer was JSON in one piece. */
  json: unknown;
  text: string;
  answer: Answer;
}

/** An engine of which a test fills in what it needs; everything else throws. */
export function engineWith(parts: { [Part in keyof Engine]?: Partial<Engine[Part]> }): Engine {
  const missing = (name: string): never => {
    throw new TypeError(`the test's engine has no ${name}`);
  };
  const part = (name: string, given: object | undefined): object =>
    new Proxy(given ?? {}, { get: (target, key) => Reflect.get(target, key) ?? missing(`${name}.${String(key)}`) });
  return new Proxy(parts, {
    get(target, key) {
      const given = Reflect.get(target, key) as object | undefined;
      return typeof given === "function" ? given : part(String(key), given);
    },
  }) as unknown as Engine;
}

/** Makes a request (`GET /v1.43/info`) through the door without a socket. */
export async function request(
  engine: Engine,
  line: string,
  options: { body?: string | Uint8Array; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Outcome> {
  const [method = "", target = ""] = line.split(" ");
  const bytes = typeof options.body === "string" ? Buffer.from(options.body) : (options.body ?? new Uint8Array(0));
  const json = typeof options.body === "string" ? { "content-type": "application/json" } : {};
  const answer = await answerRequest(engine, {
    method,
    target,
    headers: new Map(Object.entries({ ...json, ...options.headers })),
    body: {
      length: bytes.length,
      bytes: () => Promise.resolve(bytes),
      stream: () => new Response(bytes).body as ReadableStream<Uint8Array>,
    },
    signal: options.signal ?? new AbortController().signal,
  });
  if ("hijack" in answer) return { status: 101, headers: { ...answer.hijack }, json: undefined, text: "", answer };
  const outcome = { status: answer.status, headers: { ...answer.headers }, json: undefined as unknown, text: "", answer };
  if ("json" in answer) outcome.json = JSON.parse(JSON.stringify(answer.json)) as unknown;
  if ("text" in answer) outcome.text = answer.text;
  if ("stream" in answer) outcome.text = await collect(answer.stream);
  return outcome;
}

async function collect(stream: (out: AnswerStream) => Promise<void>): Promise<string> {
  const pieces: Uint8Array[] = [];
  await stream({
    write: (piece) => {
      pieces.push(typeof piece === "string" ? Buffer.from(piece) : piece);
      return true;
    },
    drained: () => Promise.resolve(),
    end: () => {},
    abort: () => {},
  });
  return Buffer.concat(pieces).toString("latin1");
}

/** A hijacked connection of which the test is the client. */
export class ClientEnd implements ByteStream {
  readonly #closed = Promise.withResolvers<void>();
  readonly #read = Promise.withResolvers<"end" | "closed">();
  readonly #take = Promise.withResolvers<Take>();
  /** What the daemon sent. */
  received = "";
  ended = false;
  readonly closed = this.#closed.promise;

  read(take: Take): Promise<"end" | "closed"> {
    this.#take.resolve(take);
    return this.#read.promise;
  }

  write(bytes: Uint8Array): boolean {
    this.received += Buffer.from(bytes).toString("latin1");
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.leave();
  }

  /** The client types; the kernel holds it until the daemon reads. */
  async type(text: string): Promise<void> {
    const take = await this.#take.promise;
    await take(Buffer.from(text, "latin1"));
  }

  /** The client ends its input. */
  finish(): void {
    this.#read.resolve("end");
  }

  /** The client vanishes. */
  leave(): void {
    this.#read.resolve("closed");
    this.#closed.resolve();
  }
}

/** What a client of a run is told: output as it is, messages as JSON. */
export function listener(): { stream: ByteStream; said: unknown[]; leave: () => void } {
  const said: unknown[] = [];
  const closed = Promise.withResolvers<void>();
  const decoder = new FrameDecoder((frame, bytes) => {
    const text = Buffer.from(bytes).toString();
    said.push(frame === STREAM.system ? JSON.parse(text) : `${frame}:${text}`);
  });
  const stream: ByteStream = {
    read: () => closed.promise.then(() => "closed" as const),
    write: (bytes) => (decoder.push(bytes), true),
    drained: () => Promise.resolve(),
    end: () => undefined,
    destroy: () => undefined,
    closed: closed.promise,
  };
  return { stream, said, leave: closed.resolve };
}
