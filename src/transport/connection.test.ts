import { expect, test } from "bun:test";
import { Connection, type RawSocket } from "./connection.ts";

/** A socket that takes so many bytes and then none until it is told. */
class SlowSocket implements RawSocket {
  room: number;
  writes: Buffer[] = [];
  calls: string[] = [];

  constructor(room: number) {
    this.room = room;
  }

  write(data: Uint8Array): number {
    const taken = Math.min(this.room, data.length);
    this.room -= taken;
    if (taken > 0) this.writes.push(Buffer.from(data.subarray(0, taken)));
    return taken;
  }

  get sent(): Buffer {
    return Buffer.concat(this.writes);
  }

  pause(): void {
    this.calls.push("pause");
  }

  resume(): void {
    this.calls.push("resume");
  }

  shutdown(): void {
    this.calls.push("shutdown");
  }

  end(): void {
    this.calls.push("end");
  }

  terminate(): void {
    this.calls.push("terminate");
  }
}

const turn = (): Promise<void> => Bun.sleep(0);

test("what is written in one turn leaves in one write", async () => {
  const socket = new SlowSocket(Infinity);
  const connection = new Connection(socket);
  for (const piece of ["head", "er", "payload"]) connection.write(Buffer.from(piece));
  await turn();
  expect(socket.writes.map(String)).toEqual(["headerpayload"]);
});

test("the first piece leaves at once, the burst after it is gathered", async () => {
  const socket = new SlowSocket(Infinity);
  const connection = new Connection(socket);
  for (let n = 0; n < 1000; n++) {
    connection.write(Buffer.from("line\n"));
    await Promise.resolve();
  }
  expect(socket.writes.length).toBe(1);
  await new Promise((resolve) => setImmediate(resolve));
  expect(socket.writes.length).toBe(2);
  expect(socket.sent.toString()).toBe("line\n".repeat(1000));
});

test("a slow peer: write says stop past a mebibyte, drained says go, nothing is lost or reordered", async () => {
  const socket = new SlowSocket(100_000);
  const connection = new Connection(socket);
  const bytes = crypto.getRandomValues(new Uint8Array(65536));
  let accepted = 0;
  while (connection.write(bytes)) accepted++;
  expect(accepted).toBe(15);
  let drained = false;
  const ready = connection.drained().then(() => (drained = true));
  await turn();
  expect(drained).toBe(false);
  socket.room = 600_000;
  connection.writable();
  await turn();
  expect(drained).toBe(false);
  socket.room = Infinity;
  connection.writable();
  await ready;
  expect(socket.sent.equals(Buffer.concat(Array.from({ length: 16 }, () => bytes)))).toBe(true);
});

test("a taker that is busy holds the peer back, and gets everything in order", async () => {
  const socket = new SlowSocket(Infinity);
  const connection = new Connection(socket);
  const got: string[] = [];
  let go = Promise.withResolvers<void>();
  const end = connection.read(async (bytes) => {
    got.push(Buffer.from(bytes).toString());
    await go.promise;
  });
  connection.received(Buffer.from("one"));
  connection.received(Buffer.alloc(300_000, "x"));
  connection.received(Buffer.from("three"));
  expect([got, socket.calls]).toEqual([["one"], ["pause"]]);
  connection.finished();
  go.resolve();
  go = Promise.withResolvers<void>();
  go.resolve();
  expect(await end).toBe("end");
  expect(got.map((text) => text.length)).toEqual([3, 300_000, 5]);
  expect(socket.calls).toEqual(["pause", "resume"]);
});

test("a peer that vanishes frees whoever waits", async () => {
  const connection = new Connection(new SlowSocket(0));
  const end = connection.read(() => {});
  connection.write(new Uint8Array(2 << 20));
  const drained = connection.drained();
  connection.lost();
  await drained;
  await connection.closed;
  expect(await end).toBe("closed");
  expect(connection.write(Buffer.from("late"))).toBe(true);
});

test("the end is sent after the last byte, and the connection goes when the peer's end has come as well", async () => {
  const socket = new SlowSocket(3);
  const connection = new Connection(socket);
  connection.write(Buffer.from("abcdef"));
  connection.end();
  expect(socket.calls).toEqual([]);
  socket.room = 10;
  connection.writable();
  expect([socket.sent.toString(), socket.calls]).toEqual(["abcdef", ["shutdown"]]);
  connection.received(Buffer.from("nobody reads this"));
  connection.finished();
  expect(socket.calls).toEqual(["shutdown", "end"]);
  connection.lost();
  await connection.closed;
});

test("a peer that reads after we are gone gets all that was sent before", async () => {
  const bytes = 256 << 10;
  const left = Promise.withResolvers<void>();
  using server = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open(raw) {
        raw.data = new Connection(raw, { linger: 1 });
        raw.data.write(new Uint8Array(bytes));
        raw.data.end();
        void raw.data.closed.then(left.resolve);
      },
      data: (raw, data) => raw.data.received(data),
      drain: (raw) => raw.data.writable(),
      end: (raw) => raw.data.finished(),
      close: (raw) => raw.data.lost(),
    },
  });
  let got = 0;
  const over = Promise.withResolvers<Error | undefined>();
  await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.pause();
        void left.promise.then(() => socket.resume());
      },
      data(_, data) {
        got += data.length;
      },
      end: (socket) => void socket.end(),
      close: (_, error) => over.resolve(error),
    },
  });
  expect([await over.promise, got]).toEqual([undefined, bytes]);
});

test("the descriptor is lent while nothing is queued, and taken back before anything is written, ended or dropped", async () => {
  const socket = Object.assign(new SlowSocket(3), { fd: 9 });
  const connection = new Connection(socket, { bare: true });
  const said: string[] = [];
  connection.write(Buffer.from("abcdef"));
  expect(connection.lend(() => said.push("never"))).toBeUndefined();
  socket.room = Infinity;
  connection.writable();
  expect(connection.lend(() => said.push(`one ${socket.sent}`))).toBe(9);
  connection.write(Buffer.from("g"));
  await turn();
  expect(socket.sent.toString()).toBe("abcdefg");
  // What is queued in this turn leaves first.
  connection.write(Buffer.from("h"));
  expect(connection.lend(() => said.push("two"))).toBe(9);
  expect(socket.sent.toString()).toBe("abcdefgh");
  expect(connection.lend(() => said.push("three"))).toBe(9);
  connection.end();
  expect(connection.lend(() => said.push("never"))).toBeUndefined();
  expect(said).toEqual(["one abcdef", "two", "three"]);
  expect(new Connection(socket).lend(() => undefined)).toBeUndefined();
});
