/**
 * For the root tests: `bun lab-flood.ts SEED COUNT` asks 127.0.0.11 for names that nobody answers, sends it bytes that are no questions, over UDP and over
 * connections that say nothing, half a message, or ask without reading; ends with 0 when a good question is answered afterwards.
 */
import { createSocket } from "node:dgram";
import { type Socket, connect } from "node:net";
import { TYPE, encodeName } from "./dns-message.ts";
import { framed } from "./forward-dns.ts";

const [seed = 1, count = 1] = process.argv.slice(2).map(Number);
let state = seed;
const random = (below: number): number => Math.floor(((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32) * below);
const query = (name: string): Uint8Array =>
  Buffer.concat([Uint8Array.of(random(256), random(256), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0), encodeName(name), Uint8Array.of(0, TYPE.a, 0, 1)]);

function nonsense(): Uint8Array {
  const bytes = Uint8Array.from(query("a.b.example"));
  for (let changes = 1 + random(8); changes > 0; changes--) bytes[random(bytes.length)] = random(4) === 0 ? 0xc0 : random(256);
  return bytes.subarray(0, random(3) === 0 ? random(bytes.length) : bytes.length);
}

/** So many questions are asked without reading an answer. */
const unread = count > 10_000 ? 20_000 : 200;
const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
socket.on("error", () => {});
const sockets: Socket[] = [];
for (let sent = 0; sent < count; sent++) {
  socket.send(random(2) === 0 ? query(`n${random(1e9)}.example`) : nonsense(), 53, "127.0.0.11");
  if (sent % 50 === 0) await Bun.sleep(1);
  if (sent % 40 !== 0 || sockets.length >= 70) continue;
  const client = connect(53, "127.0.0.11", () => {
    const kind = random(4);
    if (kind === 1) client.write(Uint8Array.of(0, 40, 1));
    else if (kind === 2) client.write(framed(nonsense()));
    else if (kind === 3) for (let asked = 0; asked < unread; asked++) client.write(framed(query("calm")));
    if (kind === 3) client.pause();
  });
  client.on("error", () => {});
  sockets.push(client);
}
for (const client of sockets) client.destroy();
const asked = query("calm");
const answered = Promise.withResolvers<number>();
socket.on("message", (answer) => {
  if (answer[0] === asked[0] && answer[1] === asked[1] && (answer[7] ?? 0) === 1) answered.resolve(0);
});
const again = setInterval(() => socket.send(asked, 53, "127.0.0.11"), 100);
process.exitCode = await Promise.race([answered.promise, Bun.sleep(60_000).then(() => 1)]);
clearInterval(again);
process.exit();
