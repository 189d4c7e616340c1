/**
 * For the root tests. `bun lab-chat.ts serve 9300 9301` answers every byte by one byte and keeps connections open; `bun lab-chat.ts talk HOST 9300 9301` keeps a connection to
 * each port, sends a byte by each in turn, and writes a line with the port for each answer.
 */
import { connect, createServer } from "node:net";

const [mode = "", ...rest] = process.argv.slice(2);
if (mode === "serve") {
  for (const port of rest) {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => void socket.write(data));
    });
    await new Promise<void>((resolve) => server.listen(Number(port), "::", resolve));
  }
  console.log("listening");
} else {
  const [host = "", ...ports] = rest;
  const sockets = ports.map((port) => {
    const socket = connect(Number(port), host);
    socket.on("error", () => {});
    socket.on("data", () => console.log(port));
    return socket;
  });
  setInterval(() => {
    for (const socket of sockets) if (!socket.destroyed) socket.write("x");
  }, 20);
}
