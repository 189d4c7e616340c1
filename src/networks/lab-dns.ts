/** For the root tests: `bun lab-dns.ts ADDRESS` is a name server that answers every question with one address, over UDP and TCP. */
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
socket.bind(53);
createServer((client) => {
  client.on("data", (part: Buffer) => {
    const [query] = unframed(part);
    if (query !== undefined) client.end(framed(answer(query)));
  });
}).listen(53);
