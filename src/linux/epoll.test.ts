import { afterEach, expect, test } from "bun:test";
import type { PollEvent } from "./epoll-protocol.ts";
import { type Source, poller } from "./epoll.ts";
import { closeFd, makePipe, writeAll } from "./fd.ts";
import { libc } from "./libc.ts";
import { openPidfd } from "./pidfd.ts";

const open: { source: Source; fds: number[] }[] = [];
afterEach(() => {
  for (const { source, fds } of open.splice(0)) {
    source.close();
    closeFd(...fds);
  }
});

/** Two connected SOCK_SEQPACKET sockets. */
function pair(): [number, number] {
  const fds = new Int32Array(2);
  libc().socketpair(1, 5 | 0o4000 | 0o2000000, 0, fds);
  return [fds[0] ?? -1, fds[1] ?? -1];
}

const text = (event: PollEvent, from = 0, to?: number): string => Buffer.from(event.data ?? new ArrayBuffer(0)).toString("utf8", from, to);

/** The runs of a packet event as `stream:text`. */
function runsOf(event: PollEvent): string[] {
  const runs = event.runs ?? [];
  return [...Array(runs.length / 3).keys()].map((i) => `${runs[i * 3]}:${text(event, runs[i * 3 + 1], runs[i * 3 + 2])}`);
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 4000 && !condition(); i++) await Bun.sleep(5);
  expect(condition()).toBe(true);
}

test("packets of one stream are joined, the stream byte taken off", async () => {
  const [here, there] = pair();
  const seen: string[] = [];
  let ended = false;
  for (const packet of ["\x02one ", "\x02two", "\x03err", "\x02x"]) writeAll(there, Buffer.from(packet));
  const source = poller().add(here, "packets", (event) => {
    seen.push(...runsOf(event));
    ended ||= event.ended === true;
  });
  open.push({ source, fds: [here, there] });
  await until(() => seen.length === 3);
  expect(seen).toEqual(["2:one two", "3:err", "2:x"]);
  writeAll(there, Buffer.from("\x02last"));
  libc().shutdown(there, 1);
  await until(() => ended);
  expect(seen.at(-1)).toBe("2:last");
});

test("what a peer has said before it went comes, also when it has not read all that it was sent", async () => {
  const [here, there] = pair();
  const seen: string[] = [];
  let ended = false;
  writeAll(there, Buffer.from("\x02last words"));
  writeAll(here, Buffer.from("unread"));
  closeFd(there);
  const source = poller().add(here, "packets", (event) => {
    seen.push(...runsOf(event));
    ended ||= event.ended === true;
  });
  open.push({ source, fds: [here] });
  await until(() => ended);
  expect(seen).toEqual(["2:last words"]);
});

test("a source that is read one packet at a time is read no further than that", async () => {
  const [here, there] = pair();
  const seen: string[] = [];
  const source: Source = poller().add(here, "packets", (event) => {
    seen.push(runsOf(event).join());
    source.hold();
  });
  open.push({ source, fds: [here, there] });
  source.single(true);
  writeAll(there, Buffer.from("\x02first"));
  await until(() => seen.length === 1);
  for (const packet of ["\x02one", "\x02two", "\x02three"]) writeAll(there, Buffer.from(packet));
  source.release();
  await until(() => seen.length === 2);
  expect(seen[1]).toBe("2:one");
  source.single(false);
  source.release();
  await until(() => seen.length === 3);
  source.release();
  await until(() => seen.join("").endsWith("three"));
});

test("a held source is not read until it is released", async () => {
  const [here, there] = pair();
  let bytes = 0;
  const source: Source = poller().add(here, "packets", (event) => {
    bytes += runsOf(event).join("").length;
    source.hold();
  });
  open.push({ source, fds: [here, there] });
  writeAll(there, Buffer.from("\x02a"));
  await until(() => bytes > 0);
  const before = bytes;
  writeAll(there, Buffer.from("\x02b"));
  await Bun.sleep(30);
  expect(bytes).toBe(before);
  source.release();
  await until(() => bytes > before);
});

test("writable waits for room, also while reading is held", async () => {
  const [here, there] = pair();
  const source: Source = poller().add(here, "packets", () => undefined);
  source.hold();
  open.push({ source, fds: [here, there] });
  const packet = new Uint8Array(8192);
  while (Number(libc().send(here, packet, packet.length, 0x40)) > 0);
  let free = false;
  const waiting = source.writable().then(() => (free = true));
  await Bun.sleep(20);
  expect(free).toBe(false);
  while (Number(libc().recv(there, packet, packet.length, 0x40)) > 0);
  await waiting;
  expect(Number(libc().send(here, packet, packet.length, 0x40))).toBe(8192);
});

test("a pipe ends; a process's end is told once", async () => {
  const [read, write] = makePipe();
  let got = "";
  let ended = false;
  open.push({
    source: poller().add(read, "stream", (event) => {
      got += text(event);
      ended ||= event.ended === true;
    }),
    fds: [read],
  });
  writeAll(write, Buffer.from("hello"));
  closeFd(write);
  await until(() => ended);
  expect(got).toBe("hello");
  const child = Bun.spawn(["sleep", "0.05"]);
  const pidfd = openPidfd(child.pid) ?? -1;
  let told = 0;
  open.push({ source: poller().add(pidfd, "ready", () => told++), fds: [pidfd] });
  await until(() => told > 0);
  await child.exited;
  await Bun.sleep(20);
  expect(told).toBe(1);
});

test("datagrams stay apart and carry their sender", async () => {
  const fds = new Int32Array(2);
  libc().socketpair(1, 2 | 0o2000000, 0, fds);
  const [here = -1, there = -1] = fds;
  const seen: string[] = [];
  open.push({
    source: poller().add(here, "datagrams", (event) => {
      const runs = event.runs ?? [];
      for (let i = 0; i < runs.length; i += 2) seen.push(text(event, runs[i], runs[i + 1]));
      expect(event.addresses?.length).toBe(runs.length / 2);
    }),
    fds: [here, there],
  });
  writeAll(there, Buffer.from("a"));
  writeAll(there, Buffer.from("bc"));
  await until(() => seen.length === 2);
  expect(seen).toEqual(["a", "bc"]);
});
