/** One line of a program's output on its way to a receiver, or a part of one that is longer than {@link MESSAGE_BYTES}. */
export interface LogMessage {
  stream: 1 | 2;
  /** Seconds since the epoch, and nanoseconds of them. */
  seconds: number;
  nanos: number;
  /** Without the newline. */
  text: Uint8Array;
  partial?: { id: string; ordinal: number; last: boolean };
}

/** Docker cuts lines that are longer into parts of so many bytes. */
export const MESSAGE_BYTES = 16 * 1024;

/** What is told of the container with each message. */
export interface LogSubject {
  id: string;
  name: string;
  imageId: string;
  imageName: string;
  command: string;
  /** RFC 3339. */
  created: string;
  tag: string;
  /** What the options `labels`, `env` and their like ask for. */
  attributes: Record<string, string>;
  /** Of the machine. */
  host: string;
}

/** Where messages go. */
export interface LogReceiver {
  /** Resolves when all of them are taken, in order; rejects when it is not known that they were: they are sent again then. */
  send(messages: readonly LogMessage[]): Promise<void>;
  close(): void;
}

/** RFC 3339 with nine digits. */
export function timeText({ seconds, nanos }: { seconds: number; nanos: number }): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(nanos).padStart(9, "0")}Z`;
}
