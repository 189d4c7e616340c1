/**
 * The one thread that waits on descriptors. It gets the epoll set with its first message, then never leaves the loop until a source of
 * kind `stop` is ready. It only reads; `epoll.ts` decides what is read.
 */
import {
  BATCH_BYTES,
  DATA_AT,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EVENT_SIZE,
  KIND,
  PACKET_BYTES,
  type PollEvent,
  type PollGreeting,
} from "./epoll-protocol.ts";
import { ERRNO, errno, libc, systemError } from "./libc.ts";
import { PacketRelay } from "./relay-packets.ts";
import { RelaySlots } from "./relay-slots.ts";

declare const self: Worker;

const MAX_EVENTS = 64;
const MSG_DONTWAIT = 0x40;
/** Below this, a copy is cheaper than giving the batch buffer away. */
const COPY_BYTES = 64 << 10;
const ADDRESS_BYTES = 128;
/** A stream that comes again within this time is left alone for a moment, so that more comes at once: fewer messages for the same bytes. */
const HOT_MILLISECONDS = 1;
const PAUSE_MICROSECONDS = 100;
/** More at once than this needs no help, and a sender whose buffer (208 KiB) is full should not wait. */
const SMALL_BYTES = 32 << 10;

/** The same for a stream that is relayed: its sender's buffer is wide (`monitored.ts`). */
const WARM_MILLISECONDS = 3;
const GATHER_MICROSECONDS = 800;

const address = new Uint8Array(ADDRESS_BYTES);
const addressLength = new Uint32Array(1);
/** When each packet source was last read, by its token. */
const lastRead = new Map<number, number>();
let batch = new Uint8Array(BATCH_BYTES);

let slots: RelaySlots;
let relay: PacketRelay | undefined;

self.onmessage = ({ data }: MessageEvent<PollGreeting>) => {
  slots = new RelaySlots(data.relays);
  loop(data.epoll);
  process.exit(0);
};

function loop(epoll: number): void {
  const raw = new Uint8Array(EVENT_SIZE * MAX_EVENTS);
  const view = new DataView(raw.buffer);
  for (;;) {
    const count = libc().epoll_wait(epoll, raw, MAX_EVENTS, -1);
    if (count < 0 && errno() !== ERRNO.EINTR) throw systemError("epoll_wait", errno());
    const events: PollEvent[] = [];
    const transfer: ArrayBuffer[] = [];
    for (let i = 0; i < count; i++) {
      const at = i * EVENT_SIZE;
      const tagged = view.getUint32(at + DATA_AT + 4, true);
      const kind = tagged >>> 24;
      if (kind === KIND.stop) return;
      const event: PollEvent = { token: tagged & 0xffffff, events: view.getUint32(at, true) };
      const fd = view.getInt32(at + DATA_AT, true);
      // Armed again otherwise by now: that event comes, too.
      if (kind === KIND.relay && !relayed(fd, event, count === 1)) continue;
      if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) !== 0) read(kind, fd, event);
      if (event.data) transfer.push(event.data);
      events.push(event);
    }
    if (events.length > 0) self.postMessage(events, transfer);
  }
}

function read(kind: number, fd: number, event: PollEvent): void {
  if (kind === KIND.packets) readPackets(fd, event, BATCH_BYTES);
  else if (kind === KIND.packet) readPackets(fd, event, PACKET_BYTES + 1);
  else if (kind === KIND.stream) readStream(fd, event);
  else if (kind === KIND.datagrams) readDatagrams(fd, event);
}

/**
 * Each packet is received one byte before the end of what is there, so that its stream byte falls on the last byte read
 * (which is put back) and the data of one stream lies in one piece.
 */
function readPackets(fd: number, event: PollEvent, most: number): void {
  const runs: number[] = [];
  let end = 1;
  if (most === BATCH_BYTES) pauseIfHot(event.token);
  while (end + PACKET_BYTES <= most) {
    const kept = batch[end - 1] ?? 0;
    const count = Number(libc().recv(fd, batch.subarray(end - 1), BATCH_BYTES - end + 1, MSG_DONTWAIT));
    const stream = batch[end - 1] ?? 0;
    batch[end - 1] = kept;
    const failure = count < 0 ? errno() : 0;
    // A peer that went without reading all that it was sent is told of once, before what it has said itself.
    if (failure === ERRNO.EINTR || failure === ERRNO.ECONNRESET) continue;
    if (count <= 0) {
      event.ended = failure !== ERRNO.EAGAIN;
      break;
    }
    if (runs.length > 0 && runs[runs.length - 3] === stream) runs[runs.length - 1] = end + count - 1;
    else runs.push(stream, end, end + count - 1);
    end += count - 1;
  }
  event.runs = runs;
  if (event.ended === true || end > SMALL_BYTES) lastRead.delete(event.token);
  else lastRead.set(event.token, performance.now());
  giveAway(end, event);
}

/** False when the source is not to be relayed any more: nothing was read then. With nobody else waiting, more is let come together. */
function relayed(fd: number, event: PollEvent, alone: boolean): boolean {
  return slots.use(event.token, (target, framed, wants) => {
    const last = lastRead.get(event.token);
    if (alone && last !== undefined && performance.now() - last < WARM_MILLISECONDS) libc().usleep(GATHER_MICROSECONDS);
    relay ??= new PacketRelay();
    const { bytes, rest, ended } = relay.turn(fd, target, framed, wants);
    event.passed = bytes;
    if (rest !== undefined) event.data = rest.buffer as ArrayBuffer;
    if (ended) event.ended = true;
    if (ended) lastRead.delete(event.token);
    else lastRead.set(event.token, performance.now());
  });
}

function pauseIfHot(token: number): void {
  const last = lastRead.get(token);
  if (last !== undefined && performance.now() - last < HOT_MILLISECONDS) libc().usleep(PAUSE_MICROSECONDS);
}

function readStream(fd: number, event: PollEvent): void {
  const count = Number(libc().read(fd, batch, BATCH_BYTES));
  if (count <= 0) event.ended = count === 0 || (errno() !== ERRNO.EAGAIN && errno() !== ERRNO.EINTR);
  giveAway(Math.max(count, 0), event);
}

function readDatagrams(fd: number, event: PollEvent): void {
  const runs: number[] = [];
  const addresses: Uint8Array[] = [];
  let end = 0;
  while (end + (64 << 10) <= BATCH_BYTES) {
    addressLength[0] = ADDRESS_BYTES;
    const count = Number(libc().recvfrom(fd, batch.subarray(end), BATCH_BYTES - end, MSG_DONTWAIT, address, addressLength));
    if (count < 0 && errno() === ERRNO.EINTR) continue;
    if (count < 0) {
      event.ended = errno() !== ERRNO.EAGAIN && errno() !== ERRNO.ENOBUFS && errno() !== ERRNO.ECONNREFUSED;
      break;
    }
    runs.push(end, end + count);
    addresses.push(address.slice(0, addressLength[0]));
    end += count;
  }
  event.runs = runs;
  event.addresses = addresses;
  giveAway(end, event);
}

/** Hands `batch` up to `end` over: as a copy when it is little, else the buffer itself. */
function giveAway(end: number, event: PollEvent): void {
  if (end <= COPY_BYTES) {
    event.data = batch.slice(0, end).buffer;
    return;
  }
  event.data = batch.buffer;
  batch = new Uint8Array(BATCH_BYTES);
}
