import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fetch, type Socket } from "bun";
import { listen } from "./listen.ts";
import type { Exchange } from "./exchange.ts";

const dir = mkdtempSync(join(tmpdir(), "lighter-serve-"));
const path = join(dir, "s.sock");
const seen: { came: string[]; aborted: string[] } = { came: [], aborted: [] };

async function handle(exchange: Exchange): Promise<void> {
  const { target } = exchange.head;
  if (target === "/echo") return exchange.answer(200, { "Content-Type": "text/plain" }, await exchange.body.bytes(1 << 24));
  if (target === "/ignore") return exchange.answer(200, {}, "ok");
  if (target === "/empty") return exchange.answer(204, {});
  if (target === "/count") {
    let size = 0;
    for await (const piece of exchange.body.stream()) {
      size += piece.length;
      await Bun.sleep(0);
    }
    return exchange.answer(200, {}, String(size));
  }
  if (target === "/lines") {
    const out = exchange.stream(200, { "Content-Type": "application/json" });
    for (let n = 0; n < 3; n++) {
      out.write(`${n}\n`);
      await Bun.sleep(2);
    }
    return out.end();
  }
  if (target === "/flood") {
    const out = exchange.stream(200, {});
    const piece = new Uint8Array(65536).fill(7);
    for (let n = 0; n < 512; n++) if (!out.write(piece)) await out.drained();
    return out.end();
  }
  if (target === "/wait") {
    seen.came.push(target);
    exchange.signal.addEventListener("abort", () => seen.aborted.push(target));
    return;
  }
  if (target === "/hijack") {
    const stream = exchange.hijack({ "Content-Type": "application/vnd.docker.raw-stream" });
    const how = await stream.read(async (bytes) => {
      if (!stream.write(bytes)) await stream.drained();
    });
    stream.write(Buffer.from(`[${how}]`));
    return stream.end();
  }
  exchange.answer(404, {}, "none");
}

const listener = await listen({ kind: "unix", path }, { handler: (exchange) => void handle(exchange) });
afterAll(async () => {
  await listener.close();
  rmSync(dir, { recursive: true });
});

const get = (target: string, init: RequestInit = {}): Promise<Response> => fetch(`http://x${target}`, { ...init, unix: path });

/** A bare client: what is sent, and all that came back until the end. */
async function raw(send: (socket: Socket, back: () => string) => void | Promise<void>): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  const socket = await Bun.connect({
    unix: path,
    allowHalfOpen: true,
    socket: {
      data: (_s, bytes) => void (text += bytes.toString("latin1")),
      end: (s) => {
        s.end();
        resolve(text);
      },
      close: () => resolve(text),
    },
  });
  await send(socket, () => text);
  return promise;
}

test("a body comes back whole, small and large, with a length and in chunks", async () => {
  expect(await (await get("/echo", { method: "POST", body: "hello" })).text()).toBe("hello");
  const big = crypto.getRandomValues(new Uint8Array(65536));
  const large = Buffer.concat(Array.from({ length: 64 }, () => big));
  expect(Buffer.from(await (await get("/echo", { method: "POST", body: large })).arrayBuffer()).equals(large)).toBe(true);
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let n = 0; n < 16; n++) controller.enqueue(big);
      controller.close();
    },
  });
  const back = Buffer.from(await (await get("/echo", { method: "POST", body: stream })).arrayBuffer());
  expect(back.equals(large.subarray(0, 16 * 65536))).toBe(true);
});

test("answers of every shape: empty, HEAD, pieces, many megabytes", async () => {
  expect((await get("/empty")).status).toBe(204);
  const head = await get("/ignore", { method: "HEAD" });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "2", ""]);
  expect(await (await get("/lines")).text()).toBe("0\n1\n2\n");
  expect((await (await get("/flood")).arrayBuffer()).byteLength).toBe(512 * 65536);
});

test("requests sent at once on one connection are answered in order", async () => {
  const text = await raw((s) => {
    s.write(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /lines HTTP/1.1\r\nHost: x\r\n\r\nGET /ignore HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
  });
  const bodies = [text.indexOf("abc"), text.indexOf("2\n"), text.indexOf("ok")];
  expect(bodies.every((at) => at > 0)).toBe(true);
  expect(bodies).toEqual(bodies.toSorted((a, b) => a - b));
  expect(text.match(/HTTP\/1.1 200 OK/g)?.length).toBe(3);
});

test("a request that comes byte by byte is understood", async () => {
  const text = await raw(async (s) => {
    for (const byte of "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2;a=b\r\nhi\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n") {
      s.write(byte);
      await Bun.sleep(0);
    }
  });
  expect(text.endsWith("\r\n\r\nhi!")).toBe(true);
});

test("a whole URL, as clients of proxies send it, is asked for by its path", async () => {
  const text = await raw((s) => {
    s.write("GET http://docker:2375/ignore HTTP/1.1\r\nHost: docker\r\n\r\n");
    s.write("GET HTTP://docker HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
  });
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 404"]);
});

test("100-continue is said when the body is read", async () => {
  const text = await raw(async (s, back) => {
    s.write("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
    while (!back().includes("Continue")) await Bun.sleep(5);
    s.write("hi");
  });
  expect(text.startsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")).toBe(true);
});

test("a body that was never asked for is not waited for", async () => {
  const text = await raw((s) => {
    s.write("POST /ignore HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  });
  expect(text).toStartWith("HTTP/1.1 200 OK\r\n");
});

test("an unread body does not spoil the next request, a huge one costs the connection", async () => {
  const small = await raw((s) => {
    s.write(
      "POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nxxxxxGET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
  });
  expect(small).toContain("204 No Content");
  const huge = await raw((s) => void s.write("POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nxx"));
  expect(huge).toContain("200 OK");
});

test("what is not HTTP is refused", async () => {
  expect(await raw((s) => void s.write("hello\r\n\r\n"))).toStartWith("HTTP/1.1 400 Bad Request");
  expect(await raw((s) => void s.write("POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"))).toStartWith(
    "HTTP/1.1 400 ",
  );
  expect(await raw((s) => void s.write("POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"))).toStartWith("HTTP/1.1 400 ");
});

test("garbage of every kind is refused or answered, and harms nobody else", async () => {
  const parts = [
    "GET ",
    "POST /echo",
    " HTTP/1.1",
    "\r\n",
    "\n",
    "Host: x",
    "Content-Length: ",
    "5",
    "-1",
    "99999999999999999999",
    ": ",
    "\0",
    "é",
    "Transfer-Encoding: chunked",
    "ffffffffffff",
    "0\r\n\r\n",
    "Upgrade: tcp",
    "Connection: upgrade",
    "/hijack",
    "%zz",
  ];
  let seed = 7;
  const pick = (): string => parts[(seed = (seed * 1103515245 + 12345) % 2147483648) % parts.length] as string;
  for (let round = 0; round < 200; round++) {
    const text = Array.from({ length: 3 + (round % 9) }, pick).join("");
    await raw((s) => {
      s.write(text);
      s.shutdown();
    });
  }
  expect(await (await get("/ignore")).text()).toBe("ok");
});

test("a slow reader of the body holds the sender back and loses nothing", async () => {
  const size = 16 << 20;
  expect(await (await get("/count", { method: "POST", body: new Uint8Array(size) })).text()).toBe(String(size));
});

test("a client that leaves aborts what it started", async () => {
  seen.aborted.length = 0;
  const controller = new AbortController();
  const gone = get("/wait", { signal: controller.signal }).catch(() => "gone");
  while (seen.came.length === 0) await Bun.sleep(5);
  controller.abort();
  expect(await gone).toBe("gone");
  for (let n = 0; n < 2000 && seen.aborted.length === 0; n++) await Bun.sleep(5);
  expect(seen.aborted).toEqual(["/wait"]);
});

test("hijack with and without Upgrade, early bytes and half-close included", async () => {
  const upgraded = await raw((s) => {
    s.write("POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\nearly ");
    s.write("late");
    s.shutdown();
  });
  expect(upgraded).toMatch(/^HTTP\/1\.1 101 UPGRADED\r\n(?:[^\r]+\r\n)*Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly late\[end\]$/);
  const old = await raw((s) => {
    s.write("POST /hijack HTTP/1.1\r\nHost: x\r\n\r\nbytes");
    s.shutdown();
  });
  expect(old).toMatch(/^HTTP\/1\.1 200 OK\r\nContent-Type: application\/vnd.docker.raw-stream\r\n(?:[^\r]+\r\n)*\r\nbytes\[end\]$/);
});

test("the last bytes reach a client whose own input was not read", async () => {
  const text = await raw(async (s) => {
    s.write("POST /ignore HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n");
    s.write(new Uint8Array(50_000));
    await Bun.sleep(10);
  });
  expect(text).toContain("ok");
});

test("a second listener on a socket in use is refused, a stale file is replaced", async () => {
  await expect(listen({ kind: "unix", path }, { handler: () => {} })).rejects.toThrow("another daemon listens there");
  const stale = join(dir, "stale.sock");
  const child = Bun.spawn(
    ["bun", "-e", `Bun.listen({unix:${JSON.stringify(stale)},socket:{data(){}}}); process.kill(process.pid, "SIGKILL")`],
    { stderr: "ignore" },
  );
  await child.exited;
  await using second = await listen({ kind: "unix", path: stale }, { handler: (exchange) => exchange.answer(200, {}, "new") });
  expect(second.connections).toBe(0);
  expect(await (await fetch("http://x/", { unix: stale })).text()).toBe("new");
});
