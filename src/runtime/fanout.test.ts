import { expect, test } from "bun:test";
import type { OutputSink, StreamId } from "../wire/stream.ts";
import { CLIENT_BYTES, Fanout } from "./fanout.ts";

const BOTH = new Set<StreamId>([1, 2]);

/** A sink that takes `room` bytes, then nothing until `open`. */
class Slow implements OutputSink {
  taken = 0;
  ended = 0;
  order: number[] = [];
  #wake: (() => void) | undefined;
  constructor(public room: number) {}

  write(_: StreamId, data: Uint8Array): boolean {
    this.taken += data.length;
    this.order.push(data[0] ?? 0);
    return this.taken < this.room;
  }

  drained(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  end(): void {
    this.ended++;
  }

  async open(room: number): Promise<void> {
    this.room = room;
    this.#wake?.();
    await Bun.sleep(0);
  }
}

const piece = (size: number, mark = 0): Uint8Array => new Uint8Array(size).fill(mark);

test("a client that is behind by its limit fills the whole; catching up relieves it, in order", async () => {
  const fanout = new Fanout();
  const slow = new Slow(1);
  const fast = new Slow(Infinity);
  let relieved = 0;
  fanout.onRelief = () => relieved++;
  fanout.join(slow, BOTH);
  fanout.join(fast, BOTH);
  for (let i = 0; i < 5; i++) fanout.deliver(1, piece(CLIENT_BYTES / 4, i));
  expect(fanout.full).toBe(true);
  expect(fast.taken).toBe((CLIENT_BYTES / 4) * 5);
  expect(slow.taken).toBe(CLIENT_BYTES / 4);
  await slow.open(Infinity);
  expect(slow.order).toEqual([0, 1, 2, 3, 4]);
  expect(fanout.full).toBe(false);
  expect(relieved).toBeGreaterThan(0);
});

test("end waits for what a client has not taken yet", async () => {
  const fanout = new Fanout();
  const slow = new Slow(1);
  const { ended } = fanout.join(slow, BOTH);
  fanout.deliver(1, piece(10, 1));
  fanout.deliver(1, piece(10, 2));
  fanout.end();
  expect(slow.ended).toBe(0);
  await slow.open(Infinity);
  await ended;
  expect(slow.order).toEqual([1, 2]);
  expect(slow.ended).toBe(1);
});

test("once it shall go, nobody holds it up and the rest is lost to who is behind", async () => {
  const fanout = new Fanout();
  const slow = new Slow(1);
  fanout.join(slow, BOTH);
  fanout.loosen("drop");
  for (let i = 0; i < 20; i++) fanout.deliver(1, piece(CLIENT_BYTES / 4));
  expect(fanout.full).toBe(false);
  await slow.open(Infinity);
  expect(slow.taken).toBeLessThanOrEqual(CLIENT_BYTES * 1.5);
});

test("what a process wrote last is kept for a slow client", async () => {
  const fanout = new Fanout();
  const slow = new Slow(1);
  fanout.join(slow, BOTH);
  fanout.loosen("last");
  for (let i = 0; i < 8; i++) fanout.deliver(1, piece(CLIENT_BYTES / 2));
  await slow.open(Infinity);
  expect(slow.taken).toBe(CLIENT_BYTES * 4);
});

test("streams are chosen; one who leaves gets nothing more, not even an end", async () => {
  const fanout = new Fanout();
  const errors = new Slow(Infinity);
  const gone = new Slow(1);
  fanout.join(errors, new Set<StreamId>([2]));
  const { leave, ended } = fanout.join(gone, BOTH);
  fanout.deliver(1, piece(5));
  fanout.deliver(2, piece(7));
  leave();
  leave();
  await ended;
  fanout.deliver(2, piece(7));
  fanout.end();
  expect(errors.taken).toBe(14);
  expect(errors.ended).toBe(1);
  expect(gone.taken).toBe(5);
  expect(gone.ended).toBe(0);
});

test("who joins after the end is told at once", async () => {
  const fanout = new Fanout();
  fanout.end();
  const late = new Slow(Infinity);
  await fanout.join(late, BOTH).ended;
  expect(late.ended).toBe(1);
});
