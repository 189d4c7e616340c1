import { createConnection, createServer, type Server } from "node:net";
import { rm } from "node:fs/promises";

/** A request that passed a {@link Recorder}, and what was answered. */
export interface Passed {
  method: string;
  /** Without version and query. */
  path: string;
  /** `1.41`; empty where the path has none. */
  version: string;
  status: number;
  type: string;
  body: string;
}

interface Wire {
  asked: Buffer[];
  answered: Buffer[];
}

/** A unix socket before a daemon's: passes every byte both ways and keeps them, so that what clients were told can be looked at. */
export class Recorder {
  readonly socket: string;
  readonly #server: Server;
  readonly #wires: Wire[] = [];

  private constructor(socket: string, server: Server) {
    this.socket = socket;
    this.#server = server;
  }

  static async start(socket: string, daemon: string): Promise<Recorder> {
    const server = createServer({ allowHalfOpen: true });
    const recorder = new Recorder(socket, server);
    server.on("connection", (client) => {
      const upstream = createConnection({ path: daemon, allowHalfOpen: true });
      const wire: Wire = { asked: [], answered: [] };
      recorder.#wires.push(wire);
      client.on("data", (bytes: Buffer) => void wire.asked.push(bytes));
      upstream.on("data", (bytes: Buffer) => void wire.answered.push(bytes));
      client.on("error", () => upstream.destroy()).on("close", () => upstream.destroy());
      upstream.on("error", () => client.destroy());
      client.pipe(upstream).pipe(client);
    });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(socket, resolve));
    return recorder;
  }

  /** Everything until now, in the order of connections; what follows a hijack on its connection is left out. */
  passed(): Passed[] {
    return this.#wires.flatMap(({ asked, answered }) => pairs(Buffer.concat(asked), Buffer.concat(answered)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await rm(this.socket, { force: true });
  }
}

interface Message {
  first: string;
  headers: Map<string, string>;
  body: Buffer;
  rest: Buffer;
}

function pairs(asked: Buffer, answered: Buffer): Passed[] {
  const found: Passed[] = [];
  for (;;) {
    const request = message(asked, false);
    if (request === undefined) return found;
    const [method = "", target = ""] = request.first.split(" ");
    const answer = message(answered, method === "HEAD", true);
    if (answer === undefined) return found;
    const status = Number(answer.first.split(" ")[1]);
    if (status === 101) return found;
    const [, version = "", path = ""] = /^(?:\/v(1\.\d+))?([^?]*)/.exec(target) ?? [];
    found.push({ method, path, version, status, type: answer.headers.get("content-type") ?? "", body: answer.body.toString() });
    asked = request.rest;
    answered = answer.rest;
  }
}

function message(bytes: Buffer, bodiless: boolean, isAnswer = false): Message | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = bytes.subarray(0, end).toString().split("\r\n");
  const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
  const after = bytes.subarray(end + 4);
  const without = bodiless || / (?:101|204|304) /.test(first);
  const length = without ? 0 : Number(headers.get("content-length") ?? (isAnswer && !headers.has("transfer-encoding") ? after.length : 0));
  if (!without && headers.get("transfer-encoding") === "chunked") return { first, headers, ...dechunked(after) };
  return { first, headers, body: after.subarray(0, length), rest: after.subarray(length) };
}

function dechunked(bytes: Buffer): { body: Buffer; rest: Buffer } {
  const pieces: Buffer[] = [];
  for (let at = 0; ;) {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return { body: Buffer.concat(pieces), rest: Buffer.alloc(0) };
    const size = Number.parseInt(bytes.subarray(at, end).toString(), 16);
    if (size === 0) return { body: Buffer.concat(pieces), rest: bytes.subarray(end + 4) };
    pieces.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 4 + size;
  }
}
