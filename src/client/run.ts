import { LighterError, messageOf } from "../base/errors.ts";
import type { ContainerCreateResponse, ContainerWaitResponse } from "../wire/engine-api.ts";
import { RUN_STREAM, type RunMessage } from "../wire/run-messages.ts";
import { FrameDecoder, STREAM } from "../wire/stdcopy.ts";
import { errorOf } from "./answer.ts";
import type { Connection } from "./connection.ts";
import type { CreateBody } from "./containers.ts";
import type { Hijacked } from "./upgrade.ts";

const PATH = "/lighter/run";

/** How a run came to its end: with what a wait answers, because the container could not be started, or because its output could not be taken, and why. */
export type RunEnd = { ended: ContainerWaitResponse } | { failure: LighterError } | { untaken: Error };

/** Where a run's output goes, and who is told of the container once it is made. */
export interface RunTaker {
  created: (created: ContainerCreateResponse) => void;
  /** Pieces of the program's output in their order; a promise holds the daemon back. */
  output: (pieces: readonly RunPiece[]) => Promise<void>;
}

export interface RunPiece {
  to: "stdout" | "stderr";
  bytes: Uint8Array;
}

/**
 * Makes a container, joins its output, starts it and waits for its end, all in one request. Resolves with undefined where that was refused and nothing was made:
 * by a daemon that is not ours, or as a create is; the requests one by one then say why, or do it.
 */
export async function openRun(
  connection: Connection,
  body: CreateBody,
  options: { name: string; platform: string; removed: boolean; sent?: () => void },
): Promise<Hijacked | undefined> {
  const query = {
    name: options.name || undefined,
    platform: options.platform || undefined,
    stdout: body.AttachStdout || undefined,
    stderr: body.AttachStderr || undefined,
    removed: options.removed || undefined,
  };
  return openRunStream(connection, PATH, { query, json: body, ...(options.sent && { sent: options.sent }) });
}

/** Asks for a {@link RUN_STREAM}; undefined where that was refused, and nothing was made. */
export async function openRunStream(
  connection: Connection,
  path: string,
  options: Parameters<Connection["hijack"]>[1],
): Promise<Hijacked | undefined> {
  try {
    const stream = await connection.hijack(path, options);
    if (stream.contentType === RUN_STREAM) return stream;
    stream.close();
  } catch (error) {
    // An error without a cause is a connection that broke: the container may be there by now.
    if (!(error instanceof LighterError) || error.cause === undefined) throw error;
  }
  return undefined;
}

/** Follows a run to its end; a connection that breaks before is an end as a wait tells it, with an error. */
export async function followRun(stream: Hijacked, taker: RunTaker): Promise<RunEnd> {
  let end: RunEnd | undefined;
  const hear = linesOf((line) => {
    const message = JSON.parse(line) as RunMessage;
    if ("created" in message) taker.created(message.created);
    else if ("ended" in message) end = message;
    else end = { failure: errorOf(message.failed.status, JSON.stringify({ message: message.failed.message }), PATH) };
  });
  let pieces: RunPiece[] = [];
  let untaken: unknown;
  const over = Promise.withResolvers<void>();
  const decoder = new FrameDecoder((frame, bytes) => {
    if (frame === STREAM.system) hear(bytes);
    else pieces.push({ to: frame === STREAM.stderr ? "stderr" : "stdout", bytes });
  });
  try {
    const reading = stream.read((bytes) => {
      pieces = [];
      decoder.push(bytes);
      const taking =
        pieces.length === 0
          ? undefined
          : taker.output(pieces).catch((error: unknown) => {
              untaken = error;
              throw error;
            });
      // The last word has come: the end of the connection tells no more.
      if (end !== undefined) void Promise.resolve(taking).then(over.resolve, () => {});
      return taking;
    });
    await Promise.race([reading, over.promise]);
  } catch (error) {
    if (error instanceof Error && error === untaken) return { untaken: error };
    return { ended: { StatusCode: -1, Error: { Message: messageOf(error) } } };
  } finally {
    stream.close();
  }
  return end ?? { ended: { StatusCode: -1, Error: { Message: "unexpected EOF" } } };
}

/** Joins pieces of UTF-8 text and hands on its lines. */
function linesOf(take: (line: string) => void): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder();
  let text = "";
  return (bytes) => {
    text += decoder.decode(bytes, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) take(line);
  };
}
