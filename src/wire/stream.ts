/** Which of a process's two outputs a piece belongs to; also the first byte of Docker's stdcopy frame. */
export type StreamId = 1 | 2;

/**
 * Takes a process's output piece by piece. Implemented by the doors (a hijacked socket) and by whatever else listens.
 * The source calls `write` in order and never concurrently.
 */
export interface OutputSink {
  /** Bytes that may come after a `write` that was false, before the process has to wait; a mebibyte where nothing is said. */
  readonly room?: number;
  /** Takes one piece; the bytes must not be changed later by either side. False when more is queued than the sink wants: hold until `drained`. */
  write(stream: StreamId, data: Uint8Array): boolean;
  /**
   * A descriptor that the source may write this process's output to past the sink, in the form that the sink would give it, while nothing is queued in the sink;
   * undefined for now where there is none. It must not be written to any more once `reclaim` has returned.
   */
  lend?(reclaim: () => void): LentOutput | undefined;
  /** Takes what could not be written past it, as it is; as `write` otherwise. */
  rest?(bytes: Uint8Array): boolean;
  /** Output has gone past, and the sink is one that need not see it; as `write` otherwise. Sinks without it see all. */
  passed?(bytes: number): boolean;
  /** Resolves when the sink wants more, or is gone. */
  drained(): Promise<void>;
  /** Called once, after the last piece: the process has ended, or the source is gone. */
  end(): void;
}

/** A descriptor that output may be written to. */
export interface LentOutput {
  fd: number;
  /** Whether each piece has a header of Docker's. */
  framed: boolean;
}

/** One client's hold on a running process's input and output. */
export interface Attachment {
  /** Sends input; resolves when the process's side has taken it (back-pressure), rejects once the process is gone. */
  write(data: Uint8Array): Promise<void>;
  /** End of input from this client: the process sees EOF where Docker would give it one (StdinOnce), otherwise nothing happens. */
  closeInput(): void;
  /** Leaves without touching the process. Safe to call twice. `keys`: the user typed the detach keys (Docker tells that as event `detach`, `exec_detach`). */
  detach(reason?: "keys"): void;
  /** Resolves after the sink's `end`. */
  readonly ended: Promise<void>;
}

/** Rows and columns of a terminal. */
export interface TerminalSize {
  height: number;
  width: number;
}
