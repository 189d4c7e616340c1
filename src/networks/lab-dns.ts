/** For the root tests: `bun lab-dns.ts ADDRESS [OWN]` is a name server, on its own address or all, that answers every question with one address, over UDP and TCP. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { addressBytes, parseAddress } from "./addresses.ts";
import { CODE, TYPE, answerTo, parseQuestion } from "./dns-message.ts";
import { framed, unframed } from "./forward-dns.ts";

const address = parseAddress(process.argv[2] ?? "");
if (address === undefined) throw new Error("an address is missing");
const answer = (query: Uint8Array): Uint8Array =>
  answerTo(query, parseQuestion(query), CODE.ok, [{ type: TYPE.a, data: addressBytes(address) }]);
const socket = createSocket("udp4", (query, from) => socket.send(answer(query), from.port, from.address));
const own = process.argv[3] ?? "0.0.0.0";
// An asker that went away is no fault of ours.
socket.on("error", () => {});
socket.bind(53, own);
createServer((client) => {
  client.on("error", () => {});
  client.on("data", (part: Buffer) => {
    const [query] = unframed(part);
    if (query !== undefined) client.end(framed(answer(query)));
  });
}).listen(53, own);
