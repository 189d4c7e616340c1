import { read as readCallback } from "node:fs";
import { FrameDecoder, STREAM } from "../wire/stdcopy.ts";
import type { RunPiece } from "../client/run.ts";
import type { Hijacked } from "../client/upgrade.ts";
import { DetachWatch } from "./detach-keys.ts";
import { PacedOutput, runsOf } from "./paced-output.ts";
import { rawMode } from "./terminal.ts";

export interface StreamOptions {
  /** Whether the program has a terminal: its output comes raw, and what is typed goes to it raw. */
  tty: boolean;
  stdin: boolean;
  /** The bytes of the keys that leave; looked for only with a terminal. */
  detachKeys: readonly number[];
  stdout?: boolean;
  stderr?: boolean;
}

/** How a session came to its end. */
export type SessionEnd = "ended" | "detached";

const CHUNK = 64 * 1024;

/** Joins this process's streams to a hijacked stream until the other side ends, or the user leaves by the detach keys. */
export async function streamSession(stream: Hijacked, options: StreamOptions): Promise<SessionEnd> {
  const restore = options.tty && options.stdin ? rawMode() : () => {};
  try {
    const output = stream.read(outputTaker(options.tty)).then((): SessionEnd => "ended");
    if (!options.stdin) return await output;
    const input = pumpInput(stream, options);
    // The end of input is not the end of the session: only detaching is.
    return await Promise.race([output, input.then((end) => (end === "detached" ? end : output))]);
  } finally {
    restore();
    stream.close();
  }
}

/** Takes what the program writes: raw onto standard output, or stdcopy frames onto both outputs. */
export function outputTaker(raw: boolean, pace: { waits?: boolean } = {}): (bytes: Uint8Array) => Promise<void> {
  const paced = new PacedOutput(pace);
  if (raw) return (bytes) => paced.take([{ fd: 1, parts: [bytes] }]);
  let pieces: RunPiece[] = [];
  const decoder = new FrameDecoder((stream, bytes) => {
    pieces.push({ to: stream === STREAM.stderr || stream === STREAM.system ? "stderr" : "stdout", bytes });
  });
  return async (bytes) => {
    pieces = [];
    decoder.push(bytes);
    await paced.take(runsOf(pieces));
  };
}

async function pumpInput(stream: Hijacked, options: StreamOptions): Promise<"eof" | "detached"> {
  const watch = options.tty ? new DetachWatch(options.detachKeys) : undefined;
  try {
    for (;;) {
      const bytes = await readInput();
      if (bytes.length === 0) break;
      const passed = watch?.pass(bytes) ?? { bytes, detached: false };
      if (passed.bytes.length > 0) await stream.write(passed.bytes);
      if (passed.detached) return "detached";
    }
  } catch {
    // The program has ended or the connection broke: the output side tells.
    return "eof";
  }
  stream.closeWrite();
  return "eof";
}

/** The next bytes of standard input, empty at its end. A thread of the pool waits for them, whatever kind of file it is. */
function readInput(): Promise<Uint8Array> {
  const buffer = new Uint8Array(CHUNK);
  return new Promise((resolve, reject) => {
    const attempt = (): void => {
      readCallback(0, buffer, 0, CHUNK, null, (error, count) => {
        if (!error) return resolve(buffer.subarray(0, count));
        if (error.code === "EAGAIN") return void setTimeout(attempt, 10);
        if (error.code === "EIO") return resolve(new Uint8Array());
        return reject(error);
      });
    };
    attempt();
  });
}
