/**
 * For the root tests: `bun lab-liar.ts ADDRESS MODE` is a name server on an address that answers with 198.51.100.66 to another question (`question`), with
 * another number (`number`), with a failure (`fails`), cut (`cut`: over UDP none, whole over TCP), or never (`silent`), or honestly with an address (`192.0.2.1`); over UDP and TCP.
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { CODE, TYPE, answerTo, parseQuestion } from "./dns-message.ts";
import { framed, unframed } from "./forward-dns.ts";

const [address = "", mode = ""] = process.argv.slice(2);
const FALSE = /^[\d.]+$/.test(mode) ? Uint8Array.from(mode.split("."), Number) : Uint8Array.of(198, 51, 100, 66);

function answer(query: Uint8Array, protocol: "udp" | "tcp"): Uint8Array | undefined {
  if (mode === "silent") return undefined;
  if (mode === "fails") return answerTo(query, parseQuestion(query), CODE.failed);
  const cut = mode === "cut" && protocol === "udp";
  const message = Uint8Array.from(answerTo(query, parseQuestion(query), CODE.ok, cut ? [] : [{ type: TYPE.a, data: FALSE }]));
  if (mode === "number") message[0] = (message[0] ?? 0) ^ 255;
  if (mode === "question") message[13] = (message[13] ?? 0) ^ 1;
  if (cut) message[2] = (message[2] ?? 0) | 2;
  return message;
}

const socket = createSocket("udp4", (query, from) => {
  const message = answer(query, "udp");
  if (message !== undefined) socket.send(message, from.port, from.address);
});
// An asker that went away is no fault of ours.
socket.on("error", () => {});
socket.bind(53, address);
createServer((client) => {
  client.on("error", () => {});
  client.on("data", (part: Buffer) => {
    const [query] = unframed(part);
    const message = query === undefined ? undefined : answer(query, "tcp");
    if (message !== undefined) client.end(framed(message));
  });
}).listen(53, address, () => console.log("listening"));
