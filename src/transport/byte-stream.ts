/** Takes the next bytes; a promise holds the peer back until it resolves. The bytes may be kept. */
export type Take = (bytes: Uint8Array) => void | Promise<void>;

/** A connection with no protocol on it any more: what is left after a request has taken it over (attach, exec, gRPC). */
export interface ByteStream {
  /**
   * Hands over what the peer sends, in order and never two pieces at once. Resolves with `end` when the peer has finished sending but may still read,
   * with `closed` when it is gone.
   */
  read(take: Take): Promise<"end" | "closed">;
  /** Queues bytes, which must not be changed afterwards; all that is queued in one turn leaves in one write. False: hold until `drained`. */
  write(bytes: Uint8Array): boolean;
  /**
   * Lends the socket's descriptor to somebody who writes to it past this stream; undefined where that cannot be (TLS, or something is queued). Whatever is written, ended
   * or dropped here takes it back first, by `reclaim`.
   */
  lend?(reclaim: () => void): number | undefined;
  /** Resolves when there is room again, or the peer is gone. */
  drained(): Promise<void>;
  /** Sends what is queued, then the end; the connection is closed some seconds later if the peer has not done so, and what the kernel holds for it stays. */
  end(): void;
  /** Drops the connection, and what is queued. */
  destroy(): void;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  /** The socket's descriptor, for what the kernel knows of it; none once the connection is gone, or where it has no socket of its own. */
  readonly fd?: number | undefined;
}
