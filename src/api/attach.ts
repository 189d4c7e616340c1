import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { ByteStream } from "../transport/byte-stream.ts";
import type { Attachment } from "../wire/stream.ts";
import { param, type Answer, type Call } from "./call.ts";
import { DEFAULT_DETACH_KEYS, DetachScanner, parseDetachKeys } from "./detach-keys.ts";
import { headTaken } from "./head-taken.ts";
import { ClientSink, streamType } from "./output-sink.ts";

/** Joins a container's output and input on the connection itself. */
export async function attach(call: Call): Promise<Answer> {
  const id = param(call, "id");
  const { query } = call;
  const keys = detachKeys(query.text("detachKeys"));
  const terminal = call.engine.containers.terminal(id);
  const stdin = query.flag("stdin");
  const sink = new ClientSink({ framed: !terminal });
  const attachment = await call.engine.containers.attach(id, sink, {
    logs: query.flag("logs"),
    stream: query.flag("stream"),
    stdin,
    stdout: query.flag("stdout"),
    stderr: query.flag("stderr"),
  });
  return {
    hijack: { "Content-Type": streamType(call.version, terminal) },
    run: async (stream) => {
      await headTaken(stream);
      return join(stream, { sink, attachment, stdin, ...(terminal && { keys }) });
    },
  };
}

/** The keys of a query or an exec; throws `invalid` for unknown ones, with Docker's word for them. */
export function detachKeys(text: string | undefined, word: "detach" | "escape" = "detach"): Uint8Array {
  try {
    return parseDetachKeys(text || DEFAULT_DETACH_KEYS);
  } catch (cause) {
    throw new LighterError("invalid", `Invalid ${word} keys (${text ?? ""}) provided`, { cause });
  }
}

/** Ties a connection to a process until the process's output ends, the client leaves, or the client types the detach keys (given for terminals only). */
export async function join(
  stream: ByteStream,
  { sink, attachment, stdin, keys }: { sink: ClientSink; attachment: Attachment; stdin: boolean; keys?: Uint8Array },
): Promise<void> {
  sink.bind(stream);
  const typed = Promise.withResolvers<void>();
  const scanner = keys && new DetachScanner(keys);
  const take = async (bytes: Uint8Array): Promise<void> => {
    const { pass, detached } = scanner?.scan(bytes) ?? { pass: bytes, detached: false };
    try {
      if (pass.length > 0) await attachment.write(pass);
    } catch {
      // The process is gone and wants no more input; its output is still to be delivered.
    }
    if (detached) typed.resolve();
  };
  let over = false;
  void stream
    .read(stdin ? take : () => {})
    .then((how) => (how === "end" && stdin && !over ? attachment.closeInput() : undefined))
    .catch((error: unknown) => logOf("api").warn("Cannot end the input: {error}", { error }));
  const how = await Promise.race([
    Promise.race([attachment.ended, sink.ended]).then(() => "ended" as const),
    stream.closed.then(() => "left" as const),
    typed.promise.then(() => "typed" as const),
  ]);
  over = true;
  // A client that vanished types nothing any more: the end of its input, where that means something.
  if (how === "left" && stdin) attachment.closeInput();
  attachment.detach(how === "typed" ? "keys" : undefined);
  stream.end();
}
