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

/** A sink that can be gone past. */
class Lending extends Slow {
  past: number[] = [];
  reclaim: () => void = () => undefined;
  lend(reclaim: () => void): { fd: number; framed: boolean } {
    this.reclaim = reclaim;
    return { fd: 7, framed: true };
  }
  rest(bytes: Uint8Array): boolean {
    this.past.push(bytes.length);
    return false;
  }
}

/** A sink that need not see what it counts. */
class Counting extends Slow {
  counted = 0;
  passed(bytes: number): boolean {
    this.counted += bytes;
    return this.counted < this.room;
  }
}

test("output may go past to the one client that sees it, until another joins, somebody is behind, or the process is gone", async () => {
  const fanout = new Fanout();
  let changes = 0;
  fanout.onChange = () => changes++;
  const seer = new Lending(Infinity);
  const counting = new Counting(Infinity);
  const nobody = { fd: undefined, framed: false, streams: new Set<StreamId>() };
  expect(fanout.lend(() => undefined)).toEqual(nobody);
  fanout.join(counting, BOTH);
  expect(fanout.lend(() => undefined)).toEqual(nobody);
  fanout.join(seer, new Set<StreamId>([2]));
  expect(fanout.lend(() => undefined)).toEqual({ fd: 7, framed: true, streams: new Set([2]) });
  const before = changes;
  const { leave } = fanout.join(new Slow(Infinity), BOTH);
  expect(changes).toBe(before + 1);
  expect(fanout.lend(() => undefined)).toBeUndefined();
  leave();
  expect(changes).toBe(before + 2);
  expect(fanout.lend(() => undefined)).toBeDefined();
  expect(fanout.passed(5, undefined)).toBe(true);
  expect(fanout.passed(5, piece(3))).toBe(false);
  expect([counting.counted, seer.past]).toEqual([10, [3]]);
  expect(fanout.lend(() => undefined)).toBeUndefined();
  // What comes while it has not taken the rest queues behind that.
  fanout.deliver(2, piece(4, 9));
  expect(seer.order).toEqual([]);
  await seer.open(Infinity);
  expect(seer.order).toEqual([9]);
  expect(fanout.lend(() => undefined)).toBeDefined();
  fanout.loosen("last");
  expect(changes).toBe(before + 3);
  expect(fanout.lend(() => undefined)).toBeUndefined();
});

test("one who only counts can make the process wait, too", async () => {
  const fanout = new Fanout();
  const counting = new Counting(0);
  fanout.join(counting, BOTH);
  fanout.join(new Lending(Infinity), BOTH);
  expect(fanout.lend(() => undefined)).toBeDefined();
  expect(fanout.passed(9, undefined)).toBe(false);
  expect(fanout.full).toBe(true);
  await counting.open(Infinity);
  expect(fanout.full).toBe(false);
});
