import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { closeFd } from "../linux/fd.ts";
import { check, libc } from "../linux/libc.ts";

/** A socket that listens, and of which nobody here takes connections. */
function listeningSocket(path: string): number {
  const fd = check(libc().socket(1, 1, 0), "socket");
  const name = Buffer.from(`\x01\x00${path}\0`);
  check(libc().bind(fd, name, name.length), "bind", path);
  check(libc().listen(fd, 16), "listen", path);
  return fd;
}

/** Says which sockets it was passed, and answers requests on the first. */
const SCRIPT = `
import { passedSockets } from "${import.meta.dir}/../linux/passed-sockets.ts";
import { listen } from "${import.meta.dir}/../transport/listen.ts";
const passed = passedSockets();
const handler = (exchange) => exchange.answer(200, {}, exchange.head.target);
const { listeners } = { listeners: await Promise.all(passed.map(({ fd }) => listen({ kind: "passed", fd }, { handler }))) };
console.log(JSON.stringify(passed.map(({ name, local }) => ({ name, local }))));
await new Response(Bun.stdin.stream()).text();
for (const listener of listeners) await listener.close();
`;

test("sockets that listen already are known by name and place, answer, and stay when they are let go", async () => {
  const directory = mkdtempSync("/tmp/lighter-passed-");
  const path = join(directory, "socket");
  const silent = { open: () => {}, data: () => {} };
  const unix = listeningSocket(path);
  const tcp = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: silent });
  try {
    const fds = [unix, (tcp as unknown as { fd: number }).fd];
    await Bun.write(join(directory, "script.ts"), SCRIPT);
    const start = 'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=door: exec "$@"';
    const child = Bun.spawn(["sh", "-c", start, "sh", process.execPath, join(directory, "script.ts")], {
      stdio: ["pipe", "pipe", "inherit", ...fds],
    });
    const { value } = await child.stdout.getReader().read();
    expect(JSON.parse(new TextDecoder().decode(value))).toEqual([
      { name: "door", local: { kind: "unix", path } },
      { name: "unknown", local: { kind: "tcp", hostname: "127.0.0.1", port: tcp.port } },
    ]);
    expect(await (await fetch("http://localhost/asked", { unix: path })).text()).toBe("/asked");
    await child.stdin.end();
    expect(await child.exited).toBe(0);
    expect(await Bun.file(path).stat()).toBeTruthy();
  } finally {
    closeFd(unix);
    tcp.stop(true);
    rmSync(directory, { recursive: true, force: true });
  }
});
