/**
 * What the poller on the main thread and its Worker say to each other. The Worker never receives messages after its start:
 * descriptors are registered by `epoll_ctl` from the main thread (an epoll set belongs to the process), and all that the Worker must
 * know of a source stands in the 64 bits that the kernel hands back with each event.
 *
 * Every source is one-shot: after an event the Worker leaves it alone until the main thread arms it again, which is the flow control.
 */

/** How the Worker reads a source. */
export const KIND = {
  /** Only tells that it is ready (pidfd, eventfd, a listening socket). */
  ready: 0,
  /** conmon's attach socket: SOCK_SEQPACKET whose packets begin with a byte that names the stream. Pieces of one stream are joined. */
  packets: 1,
  /** A pipe or stream socket. */
  stream: 2,
  /** UDP, netlink: each datagram apart, with the sender's address. */
  datagrams: 3,
  /** As `packets`, one packet an event: nothing is read ahead of what the main thread knows. */
  packet: 4,
  /** As `packets`, passed on past the main thread (`relay-slots.ts`). */
  relay: 5,
  /** Ends the Worker. */
  stop: 255,
} as const;

export type SourceKind = "ready" | "packets" | "packet" | "stream" | "datagrams" | "relay";

/** What the Worker is told at its start. */
export interface PollGreeting {
  epoll: number;
  /** See `relay-slots.ts`. */
  relays: SharedArrayBuffer;
}

export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLONESHOT = 1 << 30;

/** `struct epoll_event` is packed on x86-64 alone. */
export const EVENT_SIZE = process.arch === "x64" ? 12 : 16;
export const DATA_AT = process.arch === "x64" ? 4 : 8;

/** The bytes of one batch: a packet of conmon is at most 8 KiB + 1. */
export const BATCH_BYTES = 256 << 10;
/** Room that must be left for one more packet or datagram. */
export const PACKET_BYTES = (8 << 10) + 1;

/** One event of one source. */
export interface PollEvent {
  token: number;
  /** The `EPOLL*` bits. */
  events: number;
  /** What was read, if the source was asked to be read. */
  data?: ArrayBuffer;
  /** `packets`: triples of stream, start, end. `datagrams`: pairs of start, end. `stream`: nothing. */
  runs?: number[];
  /** `relay`: bytes of output that were passed on; what the target did not take of them is `data`, in the target's form. */
  passed?: number;
  /** `datagrams`: the raw `sockaddr` of each sender, in order. */
  addresses?: Uint8Array[];
  /** Nothing more will come. */
  ended?: boolean;
}
