import { expect, test } from "bun:test";
import type { ByteStream, Take } from "./byte-stream.ts";
import { acceptKey, WebSocketStream } from "./websocket.ts";

/** The other end, by hand: what it sends, and what it was sent. */
function pair(): { stream: ByteStream; send(bytes: Uint8Array): Promise<void>; end(): void; sent: Buffer[] } {
  const sent: Buffer[] = [];
  const over = Promise.withResolvers<"end" | "closed">();
  let take: Take = () => undefined;
  const stream: ByteStream = {
    read: (given) => {
      take = given;
      return over.promise;
    },
    write: (bytes) => sent.push(Buffer.from(bytes)) > 0,
    drained: () => Promise.resolve(),
    end: () => over.resolve("closed"),
    destroy: () => over.resolve("closed"),
    closed: over.promise.then(() => undefined),
  };
  return { stream, send: async (bytes) => await take(bytes), end: () => over.resolve("end"), sent };
}

function frame(first: number, payload: string | Uint8Array): Uint8Array {
  const bytes = Buffer.from(payload);
  const mask = Buffer.from([1, 2, 3, 4]);
  const length = bytes.length < 126 ? [0x80 | bytes.length] : [0x80 | 126, bytes.length >> 8, bytes.length & 0xff];
  return Buffer.concat([Buffer.from([first, ...length]), mask, bytes.map((byte, at) => byte ^ (mask[at % 4] ?? 0))]);
}

test("the key of the RFC's own example", () => {
  expect(acceptKey("dGhlIHNhbXBsZSBub25jZQ==")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});

for (const size of [1, 3, 7, 100_000]) {
  test(`messages cut into pieces of ${size} bytes: data, fragments, pings, a close`, async () => {
    const { stream, send, sent } = pair();
    const socket = new WebSocketStream(stream, { binary: true });
    let got = "";
    const read = socket.read((bytes) => void (got += Buffer.from(bytes).toString()));
    const all = Buffer.concat([
      frame(0x81, "text "),
      frame(0x02, "one "),
      frame(0x89, "ping"),
      frame(0x80, "two "),
      frame(0x82, ""),
      frame(0x82, "x".repeat(300)),
      frame(0x88, Uint8Array.of(3, 232)),
      frame(0x81, "late"),
    ]);
    for (let at = 0; at < all.length; at += size) await send(all.subarray(at, at + size));
    await socket.closed;
    socket.end();
    expect(await read).toBe("closed");
    expect(got).toBe(`text one two ${"x".repeat(300)}`);
    expect(Buffer.concat(sent)).toEqual(Buffer.from([0x8a, 4, ...Buffer.from("ping"), 0x88, 2, 3, 232]));
  });
}

test("what is written is a message each, as text or binary, of any length; a close at the end", () => {
  const { stream, sent } = pair();
  const socket = new WebSocketStream(stream, { binary: false });
  socket.write(Buffer.from("hi"));
  socket.write(new Uint8Array(70_000));
  socket.end();
  socket.write(Buffer.from("late"));
  expect(sent.map((bytes) => (bytes.length > 20 ? bytes.length : bytes.toString("hex")))).toEqual([
    "8102",
    "6869",
    "817f0000000000011170",
    70_000,
    "8802",
    "03e8",
  ]);
});

test.each([
  ["unmasked", Uint8Array.of(0x81, 1, 65)],
  ["a reserved bit", Uint8Array.of(0xc1, 0x80, 0, 0, 0, 0)],
  ["an unknown opcode", Uint8Array.of(0x83, 0x80, 0, 0, 0, 0)],
  ["a long ping", Uint8Array.of(0x89, 0xfe, 1, 0, 0, 0, 0, 0)],
])("%s is refused with a close", async (_name, bytes) => {
  const { stream, send, sent } = pair();
  const socket = new WebSocketStream(stream, { binary: true });
  void socket.read(() => undefined);
  await send(bytes);
  await socket.closed;
  expect(Buffer.concat(sent).toString("hex")).toBe("880203ea");
});
