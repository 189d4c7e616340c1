import { expect, test } from "bun:test";
import { encodeFrame, FrameDecoder, frameHeader, STREAM, type StreamId } from "./stdcopy.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test("a frame is stream, three zeros, big-endian length, payload", () => {
  expect([...encodeFrame(STREAM.stderr, text("hi"))]).toEqual([2, 0, 0, 0, 0, 0, 0, 2, 104, 105]);
  expect([...frameHeader(STREAM.stdout, 0x01020304)]).toEqual([1, 0, 0, 0, 1, 2, 3, 4]);
});

test("frames come out the same whatever the pieces they arrive in", () => {
  const wire = Buffer.concat([
    encodeFrame(STREAM.stdout, text("one")),
    encodeFrame(STREAM.stdout, text("")),
    encodeFrame(STREAM.stderr, text("two")),
  ]);
  for (let size = 1; size <= wire.length; size++) {
    const got: Record<number, string> = {};
    const decoder = new FrameDecoder((stream: StreamId, bytes) => {
      got[stream] = (got[stream] ?? "") + new TextDecoder().decode(bytes);
    });
    for (let at = 0; at < wire.length; at += size) decoder.push(wire.subarray(at, at + size));
    expect(got).toEqual({ 1: "one", 2: "two" });
    expect(decoder.atBoundary).toBe(true);
  }
});

test("a cut frame is noticed and a foreign stream refused", () => {
  const decoder = new FrameDecoder(() => {});
  decoder.push(encodeFrame(STREAM.stdout, text("abc")).subarray(0, 9));
  expect(decoder.atBoundary).toBe(false);
  expect(() => new FrameDecoder(() => {}).push(text("HTTP/1.1 500 "))).toThrow("Unrecognized input header: 72");
});
