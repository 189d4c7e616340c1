import { afterEach, expect, test } from "bun:test";
import type { PollEvent } from "./epoll-protocol.ts";
import { type Source, poller } from "./epoll.ts";
import { closeFd } from "./fd.ts";
import { libc } from "./libc.ts";

const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const MSG_DONTWAIT = 0x40;

const open: { source: Source; fds: number[] }[] = [];
afterEach(() => {
  for (const { source, fds } of open.splice(0)) {
    source.close();
    closeFd(...fds);
  }
});

function pair(type: number): [number, number] {
  const fds = new Int32Array(2);
  libc().socketpair(1, type | 0o4000 | 0o2000000, 0, fds);
  return [fds[0] ?? -1, fds[1] ?? -1];
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 4000 && !condition(); i++) await Bun.sleep(5);
  expect(condition()).toBe(true);
}

/** Everything that can be read from a stream socket now. */
function readAll(fd: number): Buffer {
  const pieces: Buffer[] = [];
  const buffer = new Uint8Array(1 << 16);
  for (let count = 1; count > 0;) {
    count = Number(libc().recv(fd, buffer, buffer.length, MSG_DONTWAIT));
    if (count > 0) pieces.push(Buffer.from(buffer.slice(0, count)));
  }
  return Buffer.concat(pieces);
}

function packet(stream: number, text: string | Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.of(stream), Buffer.from(text)]);
}

const frame = (stream: number, text: string): string => {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(text.length, 4);
  return header.toString("latin1") + text;
};

/** A relayed source: what went past, and what is told of it. */
function relayed(options: { framed: boolean; streams: number[]; nobody?: boolean }) {
  const [here, monitor] = pair(SOCK_SEQPACKET);
  const [target, client] = pair(SOCK_STREAM);
  const state = { passed: 0, rest: [] as Buffer[], plain: "", ended: false, monitor, client, here, target };
  const take = (event: PollEvent): void => {
    if (event.passed === undefined) {
      const runs = event.runs ?? [];
      for (let i = 0; i < runs.length; i += 3)
        state.plain += Buffer.from(event.data as ArrayBuffer).toString("latin1", runs[i + 1], runs[i + 2]);
    } else {
      state.passed += event.passed;
      if (event.data !== undefined) state.rest.push(Buffer.from(event.data));
    }
    state.ended ||= event.ended === true;
    if (event.data !== undefined && event.passed !== undefined) source.hold();
  };
  const source = poller().add(here, "packets", take);
  open.push({ source, fds: [here, monitor, target, client] });
  expect(source.relay({ ...options, fd: options.nobody === true ? undefined : target })).toBe(true);
  return { source, ...state, state };
}

function send(fd: number, data: Uint8Array): boolean {
  return Number(libc().send(fd, data, data.length, MSG_DONTWAIT)) === data.length;
}

test("packets are passed on in frames, the streams in their order, neighbours in one", async () => {
  const { source, monitor, client, state } = relayed({ framed: true, streams: [2, 3] });
  source.hold();
  for (const one of [packet(2, "one "), packet(2, "two"), packet(3, "err"), packet(2, ""), packet(2, "x")]) send(monitor, one);
  source.release();
  await until(() => state.passed === 11);
  expect(readAll(client).toString("latin1")).toBe(frame(1, "one two") + frame(2, "err") + frame(1, "x"));
  send(monitor, packet(3, "last"));
  libc().shutdown(monitor, 1);
  await until(() => state.ended);
  expect(readAll(client).toString("latin1")).toBe(frame(2, "last"));
});

test("what the target does not take comes as it is to be sent, byte by byte the same", async () => {
  const { source, monitor, client, target, state } = relayed({ framed: true, streams: [2, 3] });
  libc().setsockopt(target, 1, 7, Int32Array.of(4096), 4);
  const expected: string[] = ["", ""];
  let received = Buffer.alloc(0);
  let sent = 0;
  for (let round = 0; round < 400; round++) {
    const stream = 2 + (Math.floor(round / 3) % 2);
    const text = Buffer.alloc(1 + ((round * 2659) % 8192), 97 + (round % 26));
    while (!send(monitor, packet(stream, text))) await Bun.sleep(1);
    expected[stream - 2] += text.toString("latin1");
    sent += text.length;
    // The order on the way to the client: what went past before the rest, then the rest, then what goes past after it.
    if (round % 5 !== 4) continue;
    await until(() => state.passed === sent || state.rest.length > 0);
    received = Buffer.concat([received, readAll(client), ...state.rest.splice(0)]);
    source.release();
    await until(() => state.passed === sent || state.rest.length > 0);
  }
  await until(() => {
    received = Buffer.concat([received, readAll(client), ...state.rest.splice(0)]);
    source.release();
    return state.passed === sent;
  });
  received = Buffer.concat([received, readAll(client), ...state.rest.splice(0)]);
  const streams: string[] = ["", ""];
  for (let at = 0; at < received.length;) {
    const length = received.readUInt32BE(at + 4);
    streams[(received[at] ?? 0) - 1] += received.toString("latin1", at + 8, at + 8 + length);
    at += 8 + length;
  }
  expect(streams).toEqual(expected);
});

test("once it is taken back, nothing goes past any more, and nothing is lost; streams that are not wanted are dropped", async () => {
  const { source, monitor, client, state } = relayed({ framed: false, streams: [2] });
  send(monitor, packet(2, "past "));
  send(monitor, packet(3, "dropped"));
  await until(() => state.passed === 12);
  source.relay(undefined);
  send(monitor, packet(3, "seen"));
  await until(() => state.plain === "seen");
  expect(readAll(client).toString()).toBe("past ");
  expect(source.relay({ fd: state.target, framed: false, streams: [2, 3] })).toBe(true);
  send(monitor, packet(3, "again"));
  await until(() => state.passed === 17);
  expect(readAll(client).toString()).toBe("again");
});

test("what nobody takes is counted, and the end is told", async () => {
  const { source, monitor, state } = relayed({ framed: false, streams: [], nobody: true });
  source.hold();
  for (const text of ["one", "", "three", "a".repeat(8192)]) send(monitor, packet(2, text));
  source.release();
  await until(() => state.passed === 8200);
  source.relay(undefined);
  send(monitor, packet(2, "seen"));
  await until(() => state.plain === "seen");
  expect(source.relay({ fd: undefined, framed: false, streams: [] })).toBe(true);
  send(monitor, packet(2, "last"));
  libc().shutdown(monitor, 1);
  await until(() => state.ended);
  expect(state.passed).toBe(8204);
});

test("a target that cannot be had changes nothing: the packets come as before", async () => {
  const { source, monitor, state } = relayed({ framed: false, streams: [2] });
  const closed = libc().fcntl(state.target, 1030, 900);
  closeFd(closed);
  expect(source.relay({ fd: closed, framed: false, streams: [2] })).toBe(false);
  send(monitor, packet(2, "seen"));
  await until(() => state.plain === "seen");
});
