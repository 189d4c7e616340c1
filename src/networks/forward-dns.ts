import { createSocket } from "node:dgram";
import { connect, isIP } from "node:net";
import { CODE, parseQuestion } from "./dns-message.ts";

const PORT = 53;
/** How long name servers have to answer, in ms. */
const PATIENCE = 4000;
/** With a failure of one server in hand, how long the others may still take to know better, in ms. */
const SECOND_CHANCE = 1500;

/** Asks one server; gives up when told so, and answers undefined where the server cannot be asked. */
type Ask = (server: string, signal: AbortSignal) => Promise<Uint8Array | undefined>;

/**
 * Asks all name servers at once by UDP and returns the first good answer; undefined when none comes in time. What is asked with has a number by chance and a
 * socket that hears this server alone: whoever asked cannot answer himself.
 */
export function forwardUdp(query: Uint8Array, servers: readonly string[]): Promise<Uint8Array | undefined> {
  return firstGood(servers, (server, signal) => askUdp(query, server, signal));
}

/** Asks all name servers at once by TCP, for answers that UDP is too small for; undefined when none comes in time. */
export function forwardTcp(query: Uint8Array, servers: readonly string[]): Promise<Uint8Array | undefined> {
  return firstGood(servers, (server, signal) => askTcp(query, server, signal));
}

/** "There is such a name" and "there is none" are answers; that a server failed or refused is told where no other knows better. */
async function firstGood(servers: readonly string[], ask: Ask): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const end = new AbortController();
  let poor: Uint8Array | undefined;
  let open = servers.length;
  let timer = setTimeout(() => resolve(undefined), open === 0 ? 0 : PATIENCE);
  const take = (answer: Uint8Array | undefined): void => {
    open--;
    if (answer !== undefined && isGood(answer)) return resolve(answer);
    if (answer !== undefined && poor === undefined) {
      clearTimeout(timer);
      timer = setTimeout(() => resolve(poor), SECOND_CHANCE);
    }
    poor ??= answer;
    if (open === 0) resolve(poor);
  };
  for (const server of servers) void ask(server, end.signal).then(take, () => take(undefined));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    end.abort();
  }
}

function isGood(answer: Uint8Array): boolean {
  const code = (answer[3] ?? 0) & 15;
  return code === CODE.ok || code === CODE.unknown;
}

function askUdp(query: Uint8Array, server: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const asked = withNumber(query, crypto.getRandomValues(new Uint8Array(2)));
  const socket = createSocket(isIP(server) === 6 ? "udp6" : "udp4");
  socket.on("error", () => resolve(undefined));
  socket.on("message", (answer) => {
    if (answers(answer, asked)) resolve(withNumber(answer, query));
  });
  // Told by an event, not by a callback: that one is called where there is no way to the server, too, and sending then throws.
  socket.on("connect", () => {
    if (!signal.aborted) socket.send(asked, () => {});
  });
  socket.connect(PORT, server);
  signal.addEventListener("abort", () => resolve(undefined));
  return promise.finally(() => socket.close());
}

function withNumber(message: Uint8Array, number: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(message);
  copy.set(number.subarray(0, 2));
  return copy;
}

/** Whether a message answers this very question. A refusal may leave the question out. */
export function answers(answer: Uint8Array, asked: Uint8Array): boolean {
  if (answer.length < 12 || answer[0] !== asked[0] || answer[1] !== asked[1] || ((answer[2] ?? 0) & 0x80) === 0) return false;
  const questions = (answer[4] ?? 0) * 256 + (answer[5] ?? 0);
  if (questions === 0) return ((answer[3] ?? 0) & 15) !== 0;
  const end = parseQuestion(asked)?.end ?? asked.length;
  const question = (message: Uint8Array): string => Buffer.from(message.subarray(12, end)).toString("latin1").toLowerCase();
  return questions === 1 && question(answer) === question(asked);
}

function askTcp(query: Uint8Array, host: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  let received: Uint8Array = new Uint8Array();
  const socket = connect({ host, port: PORT }, () => socket.write(framed(query)));
  socket.on("data", (part: Buffer) => {
    received = Buffer.concat([received, part]);
    const [message] = unframed(received);
    // One question was asked: whoever answers another one is not to be believed.
    if (message !== undefined) resolve(answers(message, query) ? message : undefined);
  });
  socket.on("error", () => resolve(undefined));
  socket.on("close", () => resolve(undefined));
  signal.addEventListener("abort", () => resolve(undefined));
  return promise.finally(() => socket.destroy());
}

/** A message as TCP carries it: its length before it (RFC 1035, 4.2.2). */
export function framed(message: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(message.length >> 8, message.length & 255), message]);
}

/** The first whole message of a stream, and what follows it. */
export function unframed(bytes: Uint8Array): [message: Uint8Array | undefined, rest: Uint8Array] {
  const [high, low] = bytes;
  if (high === undefined || low === undefined) return [undefined, bytes];
  const end = 2 + high * 256 + low;
  return bytes.length < end ? [undefined, bytes] : [bytes.subarray(2, end), bytes.subarray(end)];
}
