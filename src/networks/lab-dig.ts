/** For the root tests: `bun lab-dig.ts udp|tcp A|AAAA|PTR NAME` asks 127.0.0.11 and prints the code and the answers. */
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { addressOfBytes, formatAddress } from "./addresses.ts";
import { TYPE, encodeName } from "./dns-message.ts";
import { framed, unframed } from "./forward-dns.ts";

const [protocol, type = "A", name = ""] = process.argv.slice(2);
const number = TYPE[type.toLowerCase() as keyof typeof TYPE];
const query = Buffer.concat([Uint8Array.of(7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), encodeName(name), Uint8Array.of(0, number, 0, 1)]);
const { promise, resolve } = Promise.withResolvers<Uint8Array>();
if (protocol === "udp") {
  const socket = createSocket("udp4", (answer) => resolve(answer));
  socket.send(query, 53, "127.0.0.11");
} else {
  let received: Uint8Array = new Uint8Array();
  const socket = connect(53, "127.0.0.11", () => socket.write(framed(query)));
  socket.on("data", (part: Buffer) => {
    received = Buffer.concat([received, part]);
    const [message] = unframed(received);
    if (message !== undefined) resolve(message);
  });
}
const answer = await Promise.race([promise, Bun.sleep(8000).then(() => undefined)]);
if (answer === undefined) console.log("nothing");
else {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  const found: string[] = [];
  for (let at = query.length, left = view.getUint16(6); left > 0; left--) {
    const data = answer.subarray(at + 12, at + 12 + view.getUint16(at + 10));
    found.push(number === TYPE.ptr ? nameOf(data) : formatAddress(addressOfBytes(data)));
    at += 12 + data.length;
  }
  console.log([(answer[3] ?? 0) & 15, ...found].join(" "));
}
process.exit(0);

function nameOf(data: Uint8Array): string {
  const labels: string[] = [];
  for (let at = 0; (data[at] ?? 0) > 0; at += 1 + (data[at] ?? 0))
    labels.push(Buffer.from(data.subarray(at + 1, at + 1 + (data[at] ?? 0))).toString());
  return labels.join(".");
}
