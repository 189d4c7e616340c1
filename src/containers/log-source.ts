/** What readers of logs read from: an open log file, or a file handle of `node:fs/promises`. */
export interface LogSource {
  read(block: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  stat(): Promise<{ size: number; mtimeMs: number }>;
}

/** An open log file, as it is or compressed. */
export interface OpenLog extends LogSource {
  close(): void;
}
