import { type Socket, createServer } from "node:net";
import { type PollEvent } from "../linux/epoll-protocol.ts";
import { poller } from "../linux/epoll.ts";
import { libc } from "../linux/libc.ts";
import { DnsCache } from "./dns-cache.ts";
import { CODE, TYPE, answerTo, cutToFit, isAnswer, parseQuestion, refusal } from "./dns-message.ts";
import { forwardTcp, forwardUdp, framed, unframed } from "./forward-dns.ts";
import type { KnownName } from "./names.ts";
import type { ResolverSockets } from "./resolver-sockets.ts";

const MSG_DONTWAIT = 0x40;
/** Questions of one container that may wait for name servers at once; more are refused, so that a flood costs the others nothing. */
const MAX_WAITING = 128;
const TCP_IDLE = 10_000;
/** Connections of one container at once: each takes a descriptor of the daemon's. */
const MAX_CLIENTS = 64;
/** What a client may leave unread, bytes: one that only asks is let go. */
const MAX_UNREAD = 256 << 10;

/** One for each way of asking: an answer that TCP carries may be too long for a datagram. */
const caches = { udp: new DnsCache(), tcp: new DnsCache() };
const FORWARD = { udp: forwardUdp, tcp: forwardTcp };

/** What a resolver answers from. */
export interface ResolverSource {
  lookup(name: string, type: number): KnownName | undefined;
  /** Name servers for all other names, asked from the host's network. */
  servers(): string[];
  /** Whether others are to be asked about a name at all. */
  mayAsk(name: string): boolean;
  /** Takes note of what they answered; the container gets to know it afterwards. */
  learn(name: string, answer: Uint8Array): Promise<void>;
}

/** A running resolver of one container. */
export interface Resolver {
  close(): void;
}

/** Serves a container's questions on sockets in its namespace, over UDP and TCP. Owns the descriptors. */
export function startResolver(sockets: ResolverSockets, source: ResolverSource): Resolver {
  let waiting = 0;
  const resolve = async (query: Uint8Array, protocol: "udp" | "tcp"): Promise<Uint8Array> => {
    const question = parseQuestion(query);
    if (question === undefined) return answerTo(query, undefined, refusal(query));
    const known = source.lookup(question.name, question.type);
    if (known !== undefined) {
      const answer = answerTo(query, question, known.code, known.records);
      return protocol === "udp" ? cutToFit(answer, query, question) : answer;
    }
    if (!source.mayAsk(question.name)) return answerTo(query, question, CODE.refused);
    if (waiting >= MAX_WAITING) return answerTo(query, question, CODE.failed);
    waiting++;
    try {
      const answer = await caches[protocol].answer(query, source.servers(), FORWARD[protocol]);
      if (answer !== undefined) {
        await source.learn(question.name, answer);
        return answer;
      }
      // A single label that no server was there to deny is not a name.
      const single = !question.name.includes(".") && (question.type === TYPE.a || question.type === TYPE.aaaa);
      return answerTo(query, question, single ? CODE.unknown : CODE.failed);
    } finally {
      waiting--;
    }
  };
  const stopUdp = serveUdp(sockets.udp, (query) => resolve(query, "udp"));
  const stopTcp = serveTcp(sockets.tcp, (query) => resolve(query, "tcp"));
  return {
    close() {
      stopUdp();
      stopTcp();
    },
  };
}

function serveUdp(fd: number, resolve: (query: Uint8Array) => Promise<Uint8Array>): () => void {
  let open = true;
  const reply = async (query: Uint8Array, address: Uint8Array): Promise<void> => {
    if (query.length < 12 || isAnswer(query)) return;
    const answer = await resolve(query);
    if (open) libc().sendto(fd, answer, answer.length, MSG_DONTWAIT, address, address.length);
  };
  const source = poller().add(fd, "datagrams", ({ data, runs = [], addresses = [] }: PollEvent) => {
    if (data === undefined) return;
    addresses.forEach((address, index) => {
      // Who asks again is answered then.
      reply(new Uint8Array(data.slice(runs[index * 2], runs[index * 2 + 1])), address).catch(() => undefined);
    });
  });
  return () => {
    open = false;
    source.close();
    libc().close(fd);
  };
}

function serveTcp(fd: number, resolve: (query: Uint8Array) => Promise<Uint8Array>): () => void {
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    if (clients.size >= MAX_CLIENTS) return void socket.destroy();
    clients.add(socket);
    let received: Uint8Array = new Uint8Array();
    socket.setTimeout(TCP_IDLE, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => clients.delete(socket));
    socket.on("data", (part: Buffer) => {
      received = Buffer.concat([received, part]);
      for (;;) {
        const [query, rest] = unframed(received);
        if (query === undefined) return;
        received = rest;
        if (query.length < 12 || isAnswer(query) || socket.writableLength > MAX_UNREAD) return void socket.destroy();
        void resolve(query).then(
          (answer) => socket.write(framed(answer)),
          () => socket.destroy(),
        );
      }
    });
  });
  server.on("error", () => {});
  server.listen({ fd });
  server.unref();
  return () => {
    for (const client of clients) client.destroy();
    server.close();
  };
}
