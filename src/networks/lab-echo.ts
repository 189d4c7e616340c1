/** For the root tests: `bun lab-echo.ts TAG tcp:80 udp:53 ...` answers every connection and datagram with the tag and the address it came from. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const [tag = "", ...ports] = process.argv.slice(2);
for (const spec of ports) {
  const [protocol, port] = spec.split(":");
  if (protocol === "tcp") {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(`${tag} ${socket.remoteAddress?.replace("::ffff:", "")}\n`);
    });
    await new Promise<void>((resolve) => server.listen(Number(port), "::", resolve));
  } else {
    const socket = createSocket("udp6");
    // Who asked may have gone before the answer came.
    socket.on("error", () => {});
    socket.on("message", (_, from) => socket.send(`${tag} ${from.address.replace("::ffff:", "")}\n`, from.port, from.address));
    await new Promise<void>((resolve) => socket.bind(Number(port), resolve));
  }
}
console.log("listening");
