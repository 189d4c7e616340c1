/** Attach over a WebSocket, with Bun's own client for it. Deadline: 60 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Ground } from "./harness/ground.ts";
import { until } from "./harness/until.ts";

const ECHO = 'while read a; do echo "out $a"; echo "err $a" >&2; done; echo over';

let ground: Ground;
let port: number;
let relay: { stop(force: boolean): void };
beforeAll(async () => {
  ground = await Ground.lay(["busybox"]);
  // The client knows TCP only.
  const listener = Bun.listen<{ out: Promise<Bun.Socket> }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        const out = Bun.connect({
          unix: ground.daemon.socket,
          socket: { data: (_, bytes) => void socket.write(bytes), close: () => void socket.end() },
        });
        socket.data = { out };
      },
      data: (socket, bytes) => void socket.data.out.then((out) => out.write(bytes)),
      close: (socket) => void socket.data.out.then((out) => out.end()),
    },
  });
  port = listener.port;
  relay = listener;
}, 120_000);
afterAll(async () => {
  relay?.stop(true);
  await ground?.[Symbol.asyncDispose]();
});

interface Client {
  socket: WebSocket;
  text: string;
  kinds: Set<string>;
  closed: Promise<number>;
}

async function attach(container: string, query: string, version = "1.56"): Promise<Client> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v${version}/containers/${container}/attach/ws?${query}`);
  socket.binaryType = "arraybuffer";
  const closed = new Promise<number>((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
  const client: Client = { socket, text: "", kinds: new Set(), closed };
  socket.addEventListener("message", ({ data }) => {
    client.kinds.add(typeof data === "string" ? "text" : "binary");
    client.text += typeof data === "string" ? data : Buffer.from(data as ArrayBuffer).toString();
  });
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error("the socket did not open")));
  });
  return client;
}

async function shows(client: Client, text: string): Promise<void> {
  await until(`"${text}" comes`, () => client.text.includes(text));
}

test("input and both outputs, unframed; the stored output first where it is asked for", async () => {
  const id = await ground.lighter.must("run", "-d", "-i", "busybox", "sh", "-c", ECHO);
  const first = await attach(id, "stream=1&stdin=1&stdout=1&stderr=1");
  first.socket.send("one\n");
  await shows(first, "err one");
  first.socket.send(Buffer.from("two\n"));
  await shows(first, "err two");
  expect([first.text.split("\n").sort(), [...first.kinds]]).toEqual([["", "err one", "err two", "out one", "out two"], ["binary"]]);
  first.socket.close();
  await first.closed;
  const second = await attach(id, "stream=1&stdin=1&stdout=1&logs=1");
  await shows(second, "out two\n");
  expect(second.text).toBe("out one\nout two\n");
  second.socket.send("three\n");
  await shows(second, "out three\n");
  expect(second.text).toBe("out one\nout two\nout three\n");
  await ground.lighter.must("rm", "-f", id);
  expect(await second.closed).toBe(1000);
});

test("what old clients get: text, and all three streams", async () => {
  const id = await ground.lighter.must("run", "-d", "-i", "busybox", "sh", "-c", ECHO);
  const client = await attach(id, "stream=1", "1.24");
  client.socket.send("old\n");
  await shows(client, "err old");
  expect([...client.kinds]).toEqual(["text"]);
  await ground.lighter.must("rm", "-f", id);
});

test("a terminal: raw, left by the detach keys, resized from outside", async () => {
  const id = await ground.lighter.must("run", "-dit", "busybox", "sh");
  const client = await attach(id, "stream=1&stdin=1&stdout=1&stderr=1&detachKeys=ctrl-x,x");
  await ground.daemon.api("POST", `/containers/${id}/resize?h=33&w=101`);
  client.socket.send("stty size\r");
  await shows(client, "33 101\r\n");
  client.socket.send("\x18x");
  expect(await client.closed).toBe(1000);
  expect(await ground.lighter.must("inspect", "-f", "{{.State.Running}}", id)).toBe("true");
  await ground.lighter.must("rm", "-f", id);
});

test("a client that leaves ends the input of a container that has it once", async () => {
  const id = (
    await ground.daemon.json<{ Id: string }>("POST", "/containers/create", {
      body: { Image: "busybox", Cmd: ["sh", "-c", ECHO], OpenStdin: true, StdinOnce: true, AttachStdin: true },
    })
  ).Id;
  const client = await attach(id, "stream=1&stdin=1&stdout=1&stderr=1");
  await ground.lighter.must("start", id);
  client.socket.send("here\n");
  await shows(client, "out here");
  client.socket.close();
  expect(await ground.lighter.must("wait", id)).toBe("0");
  expect(await ground.lighter.must("logs", id)).toContain("over");
  await ground.lighter.must("rm", id);
});

test("the stored output alone, then the end; nothing at all, then the end", async () => {
  const id = await ground.lighter.must("run", "-d", "busybox", "sh", "-c", "echo said; sleep 600");
  await until("it has spoken", async () => (await ground.lighter.run(["logs", id])).stdout === "said\n");
  const logs = await attach(id, "logs=1&stdout=1&stderr=1");
  expect([await logs.closed, logs.text]).toEqual([1000, "said\n"]);
  const nothing = await attach(id, "stdout=1");
  expect([await nothing.closed, nothing.text]).toEqual([1000, ""]);
  await ground.lighter.must("rm", "-f", id);
});

test("ten megabytes come whole", async () => {
  const id = await ground.lighter.must("create", "busybox", "sh", "-c", "yes 123456789abcdef | head -c 10485760");
  const client = await attach(id, "stream=1&stdout=1");
  await ground.lighter.must("start", id);
  await client.closed;
  expect([client.text.length, client.text.replaceAll("123456789abcdef\n", "")]).toEqual([10_485_760, ""]);
  await ground.lighter.must("rm", id);
});

test("refusals come before the upgrade", async () => {
  const id = await ground.lighter.must("run", "-d", "busybox", "sleep", "600");
  const headers = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
  };
  expect(await ground.daemon.failure("GET", `/containers/${id}/attach/ws?stream=1`)).toEqual({
    status: 400,
    message: "not websocket protocol",
  });
  expect((await ground.daemon.failure("GET", "/containers/nobody/attach/ws?stream=1", { headers })).status).toBe(404);
  expect(await ground.daemon.failure("GET", `/containers/${id}/attach/ws?detachKeys=foo`, { headers })).toEqual({
    status: 400,
    message: "Invalid detach keys (foo) provided",
  });
  await ground.lighter.must("pause", id);
  expect((await ground.daemon.failure("GET", `/containers/${id}/attach/ws?stream=1`, { headers })).status).toBe(409);
  await ground.lighter.must("rm", "-f", id);
});
