import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listen } from "../transport/listen.ts";
import { headTaken } from "./head-taken.ts";

const UPGRADE = "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

test("output that is there already comes once the client has read the head, in a piece of its own", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-head-"));
  const path = join(folder, "s");
  const taken = Promise.withResolvers<void>();
  let isTaken = false;
  const written = Promise.withResolvers<void>();
  await using _server = await listen(
    { kind: "unix", path },
    {
      handler: (exchange) => {
        const stream = exchange.hijack({});
        setTimeout(written.resolve, 20);
        void headTaken(stream, Infinity).then(() => {
          isTaken = true;
          taken.resolve();
          stream.write(Buffer.from("output"));
          stream.end();
        });
      },
    },
  );
  const pieces: string[] = [];
  const ended = Promise.withResolvers<void>();
  const client = await Bun.connect({
    unix: path,
    socket: { data: (_socket, bytes) => void pieces.push(bytes.toString()), end: () => ended.resolve(), close: () => ended.resolve() },
  });
  client.pause();
  client.write(UPGRADE);
  await written.promise;
  expect(isTaken).toBe(false);
  client.resume();
  await taken.promise;
  await ended.promise;
  client.end();
  expect(pieces[0]).toStartWith("HTTP/1.1 101");
  expect(pieces[0]).toEndWith("\r\n\r\n");
  expect(pieces.slice(1).join("")).toBe("output");
  await rm(folder, { recursive: true });
});

test("a stream without a socket, and one that is gone, are not waited for", async () => {
  const stream = {
    read: () => new Promise<"end">(() => {}),
    write: () => true,
    drained: () => Promise.resolve(),
    end: () => undefined,
    destroy: () => undefined,
    closed: Promise.resolve(),
  };
  await headTaken(stream);
  await headTaken({ ...stream, fd: undefined });
});
