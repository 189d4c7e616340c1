import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kindOf, messageOf } from "../base/errors.ts";
import { Connection, isOlder, queryString } from "./connection.ts";
import { parseEndpoint, type Endpoint } from "./endpoint.ts";
import { openSshTunnel, sshCommand } from "./ssh.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-client-"));
const servers: http.Server[] = [];

afterAll(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true });
});

/** A daemon of API 1.41 on a socket of its own: what it says is docker's, what it does is in the test. */
async function daemon(handle: (path: string, request: http.IncomingMessage, response: http.ServerResponse) => void): Promise<Endpoint> {
  const path = join(folder, `${servers.length}.sock`);
  const server = http.createServer((request, response) => {
    const [, version, rest = ""] = /^\/v([\d.]+)(\/.*)$/.exec(request.url ?? "") ?? [undefined, undefined, request.url];
    response.setHeader("Api-Version", "1.41");
    if (version !== undefined && isOlder("1.41", version)) {
      response
        .writeHead(400)
        .end(JSON.stringify({ message: `client version ${version} is too new. Maximum supported API version is 1.41` }));
      return;
    }
    handle(rest, request, response);
  });
  server.on("upgrade", (request, socket, head) => upgraded(request, socket as Socket, head));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return parseEndpoint(`unix://${path}`);
}

/** `/echo` sends back what it gets, and at its end how many bytes that were; `/flood` sends 32 MiB at once; anything else is refused. */
function upgraded(request: http.IncomingMessage, socket: Socket, head: Buffer): void {
  if (request.url?.startsWith("/v1.56/")) {
    const body = JSON.stringify({ message: "client version 1.56 is too new. Maximum supported API version is 1.41" });
    socket.end(`HTTP/1.1 400 Bad Request\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    return;
  }
  const ok = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
  if (request.url?.includes("/echo")) {
    let count = head.length;
    socket.write(`${ok}early `);
    if (head.length > 0) socket.write(head);
    socket.on("data", (bytes) => {
      count += bytes.length;
      if (!socket.write(bytes)) {
        socket.pause();
        socket.once("drain", () => socket.resume());
      }
    });
    socket.on("end", () => socket.end(` ${count} bytes`));
  } else if (request.url?.includes("/flood")) {
    socket.write(ok);
    socket.end(Buffer.alloc(32 << 20, 7));
  } else {
    socket.end(`HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\n{"message":"no such thing"}\r\n0\r\n\r\n`);
  }
}

test("the newest version is spoken at once, and an older daemon's as soon as it says so", async () => {
  const paths: string[] = [];
  const endpoint = await daemon((path, request, response) => {
    paths.push(`${request.method} ${path}`);
    response.end(JSON.stringify({ path }));
  });
  const connection = new Connection(endpoint);
  expect(
    await connection.json("GET", "/a", { query: { all: true, filters: { name: ["x y"] }, names: ["p", "q"], gone: undefined } }),
  ).toEqual({
    path: "/a?all=1&filters=%7B%22name%22%3A%5B%22x%20y%22%5D%7D&names=p&names=q",
  });
  expect(connection.version).toBe("1.41");
  await connection.send("POST", "/b", { json: { c: 1 } });
  expect(paths.map((path) => path.split("?")[0])).toEqual(["GET /a", "POST /b"]);
});

test("a HEAD steps down, too, though its answer has no body", async () => {
  const connection = new Connection(await daemon((path, _, response) => response.setHeader("X-Path", path).end()));
  const { headers } = await connection.request("HEAD", "/containers/a/archive");
  expect(headers.get("x-path")).toBe("/containers/a/archive");
});

test("a version that was asked for is kept", async () => {
  const connection = new Connection(await daemon((_, __, response) => response.end()), { version: "1.50" });
  await expect(connection.send("GET", "/a").then(String)).rejects.toThrow("client version 1.50 is too new");
});

test("requests that run beside each other step down all of them", async () => {
  const endpoint = await daemon((path, _, response) => void response.end(path));
  await using connection = new Connection(endpoint);
  const answers = ["/a", "/b", "/c"].map(async (path) => (await connection.request("GET", path)).text());
  expect(await Promise.all(answers)).toEqual(["/a", "/b", "/c"]);
  await using other = new Connection(endpoint);
  expect(await Promise.all(["/a", "/b"].map((path) => other.send("HEAD", path)))).toEqual([200, 200]);
});

test("a daemon's errors keep their sentence and get a kind", async () => {
  const endpoint = await daemon((path, _, response) => {
    const status = Number(path.slice(1));
    response.writeHead(status).end(status === 500 ? "plain text\n" : JSON.stringify({ message: `status ${status}` }));
  });
  const connection = new Connection(endpoint);
  const failure = (path: string): Promise<unknown> => connection.send("GET", path).catch((error: unknown) => error);
  expect([kindOf(await failure("/404")), messageOf(await failure("/404"))]).toEqual([
    "not-found",
    "Error response from daemon: status 404",
  ]);
  expect([kindOf(await failure("/409")), kindOf(await failure("/400")), kindOf(await failure("/500"))]).toEqual([
    "conflict",
    "invalid",
    "internal",
  ]);
  expect(messageOf(await failure("/500"))).toBe("Error response from daemon: plain text");
});

test("a daemon that ends in the middle of an answer, or before it, is told without advice to programmers", async () => {
  const endpoint = await daemon((path, _request, response) => {
    if (path === "/early") return void response.destroy();
    response.writeHead(200, { "Content-Type": "application/json", "Transfer-Encoding": "chunked" });
    response.write('{"Status', () => response.destroy());
  });
  const connection = new Connection(endpoint);
  const failure = async (path: string): Promise<string> => await connection.json("GET", path).then(String, messageOf);
  expect(await failure("/middle")).toBe("the connection was closed before the answer was complete");
  expect(await failure("/early")).toBe("error during connect: the connection was closed before the answer was complete");
});

test("nobody listens: docker's sentence, or one chance to start the daemon", async () => {
  const endpoint = parseEndpoint(`unix://${folder}/nobody.sock`);
  await expect(new Connection(endpoint).send("GET", "/a").then(String)).rejects.toThrow(
    `Cannot connect to the Docker daemon at unix://${folder}/nobody.sock. Is the docker daemon running?`,
  );
  let started = 0;
  const connection = new Connection(endpoint, { onAbsent: async () => void (await Promise.resolve(started++)) });
  await expect(connection.send("GET", "/a").then(String)).rejects.toThrow("Cannot connect");
  expect(started).toBe(1);
});

test("a hijacked stream carries both directions, early bytes, and ends one direction alone", async () => {
  const connection = new Connection(await daemon((_, __, response) => response.end()));
  const stream = await connection.hijack("/echo", { json: { Tty: true } });
  expect(stream.contentType).toBe("application/vnd.docker.raw-stream");
  const hash = createHash("sha256");
  const got: Uint8Array[] = [];
  const reading = stream.read((bytes) => void got.push(bytes.slice()));
  const chunk = crypto.getRandomValues(new Uint8Array(60_000));
  for (let at = 0; at < 100; at++) {
    await stream.write(chunk);
    hash.update(chunk);
  }
  stream.closeWrite();
  await reading;
  const all = Buffer.concat(got);
  const tail = /(\d+) bytes$/.exec(all.subarray(-20).toString());
  expect(Number(tail?.[1])).toBeGreaterThanOrEqual(6_000_000);
  const start = all.indexOf(chunk.subarray(0, 32));
  expect(all.subarray(0, 6).toString()).toBe("early ");
  expect(
    createHash("sha256")
      .update(all.subarray(start, start + 6_000_000))
      .digest("hex"),
  ).toBe(hash.digest("hex"));
});

test("a slow taker holds the stream back, and nothing is lost", async () => {
  const connection = new Connection(await daemon((_, __, response) => response.end()));
  const stream = await connection.hijack("/flood");
  let [total, busy, together] = [0, 0, 0];
  await stream.read(async (bytes) => {
    together = Math.max(together, ++busy);
    total += bytes.length;
    if (total < 4 << 20) await Bun.sleep(1);
    busy--;
  });
  expect({ total, together }).toEqual({ total: 32 << 20, together: 1 });
});

test("a refused hijack is the daemon's error", async () => {
  const connection = new Connection(await daemon((_, __, response) => response.end()));
  await expect(connection.hijack("/nothing").then(String)).rejects.toThrow("Error response from daemon: no such thing");
});

test("ssh: a socket of our own, each connection one program on the other side", async () => {
  const endpoint = parseEndpoint("ssh://joe@host.example:2222/run/d.sock");
  if (endpoint.kind !== "ssh") throw new Error("not ssh");
  expect(sshCommand(endpoint, "docker").slice(-10)).toEqual(
    ["-l", "joe", "-p", "2222", "--", "host.example", "docker", "--host", "unix:///run/d.sock", "system", "dial-stdio"].slice(-10),
  );
  const answer = `HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\n\\r\\nover`;
  await using tunnel = await openSshTunnel(endpoint, ["sh", "-c", `read line; printf '${answer}'`]);
  const connection = new Connection(parseEndpoint(`unix://${tunnel.path}`));
  expect(await (await connection.request("GET", "/a")).text()).toBe("over");
});

test("endpoints", () => {
  expect(parseEndpoint("tcp://h:1/p/")).toMatchObject({ kind: "tcp", host: "h", port: 1, prefix: "/p" });
  expect(parseEndpoint("tcp://[::1]")).toMatchObject({ kind: "tcp", host: "[::1]", port: 2375 });
  expect(parseEndpoint("tcp://h", { verify: true })).toMatchObject({ port: 2376 });
  expect(() => parseEndpoint("ftp://x")).toThrow('unable to parse docker host "ftp://x"');
  expect(queryString({ a: false, b: 0, c: "" })).toBe("?a=0&b=0&c=");
});
