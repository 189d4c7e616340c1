import { request as httpRequest, createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

/** What a relay has seen of one request. */
export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
}

/** An HTTP server on loopback that hands requests on to another, may spoil what comes back, and remembers what it saw. Also a forward proxy, with CONNECT. */
export class Relay implements AsyncDisposable {
  readonly seen: Seen[] = [];
  /** Changes each blob's bytes on their way back. */
  lying = false;
  /** Takes requests and never answers them. */
  mute = false;
  /** Answers with this status instead. */
  status: number | undefined;
  /** Milliseconds that each blob is held back, so that those under way at once can be counted. */
  hold = 0;
  /** Most blobs that were under way at once. */
  busiest = 0;
  #busy = 0;
  /** Names that it knows, as a proxy, and where they are. */
  readonly names = new Map<string, string>();
  readonly #server: Server;
  readonly #target: string;

  private constructor(target: string) {
    this.#target = target;
    this.#server = createServer((request, response) => this.#hand(request, response));
    this.#server.on("connect", (request: IncomingMessage, socket: Duplex) => this.#tunnel(request, socket));
  }

  /** @param target `host:port` that requests go to which name no other */
  static async start(target = "127.0.0.1:1"): Promise<Relay> {
    const relay = new Relay(target);
    await new Promise<void>((resolve) => void relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  /** Paths of the requests so far, those of the API's root left out. */
  get paths(): string[] {
    return this.seen.map(({ path }) => path).filter((path) => !/^(\w+:\/\/[^/]*)?\/v2\/(\?|$)/.test(path));
  }

  #hand(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "/";
    this.seen.push({ method: request.method ?? "", path, headers: request.headers });
    if (this.mute) return;
    if (this.status !== undefined) return void response.writeHead(this.status).end();
    if (!path.includes("/blobs/")) return this.#forward(request, response);
    this.busiest = Math.max(this.busiest, ++this.#busy);
    setTimeout(() => {
      // Before the bytes: the client is quicker with its next request than this end of the connection with its bookkeeping.
      this.#busy--;
      this.#forward(request, response);
    }, this.hold);
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "/";
    const whole = URL.parse(path);
    const [host = "", port = "80"] = (whole === null ? this.#target : (this.names.get(whole.host) ?? whole.host)).split(":");
    const target = { host, port, path: whole === null ? path : whole.pathname + whole.search };
    const onward = httpRequest({ ...target, method: request.method, headers: request.headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      const spoil = this.lying && path.includes("/blobs/");
      answer.on("data", (piece: Buffer) => void response.write(spoil ? piece.map((byte) => byte ^ 1) : piece));
      answer.on("end", () => response.end());
      answer.on("error", () => response.destroy());
    });
    onward.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
    request.pipe(onward);
  }

  #tunnel(request: IncomingMessage, socket: Duplex): void {
    const path = request.url ?? "";
    this.seen.push({ method: "CONNECT", path, headers: request.headers });
    const [host = "", port = "443"] = (this.names.get(path) ?? path).split(":");
    const onward = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
