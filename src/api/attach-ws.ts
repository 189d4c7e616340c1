import { LighterError } from "../base/errors.ts";
import { hasToken } from "../transport/head.ts";
import { acceptKey, WebSocketStream } from "../transport/websocket.ts";
import { join } from "./attach.ts";
import { param, type Answer, type Call } from "./call.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./detach-keys.ts";
import { ClientSink } from "./output-sink.ts";

/** Before API 1.28 output came as text, whatever the bytes were. */
const BINARY_SINCE = 28;
/** Before API 1.42 all three streams were joined, whatever was asked. */
const STREAMS_SINCE = 42;

/** Joins a container's output and input over a WebSocket: bytes as the program writes them, each piece a message, both outputs as one. */
export async function attachWebSocket(call: Call): Promise<Answer> {
  const id = param(call, "id");
  const { query, version } = call;
  const keys = keysOf(query.text("detachKeys"));
  const terminal = call.engine.containers.terminal(id);
  const accept = acceptKey(keyOf(call));
  const wanted = (name: string): boolean => version < STREAMS_SINCE || query.flag(name);
  const stdin = wanted("stdin");
  const sink = new ClientSink({ framed: false });
  const attachment = await call.engine.containers.attach(id, sink, {
    logs: query.flag("logs"),
    stream: query.flag("stream"),
    stdin,
    stdout: wanted("stdout"),
    stderr: wanted("stderr"),
  });
  return {
    hijack: { "Sec-WebSocket-Accept": accept },
    run: (stream) =>
      join(new WebSocketStream(stream, { binary: version >= BINARY_SINCE }), { sink, attachment, stdin, ...(terminal && { keys }) }),
  };
}

function keysOf(text: string | undefined): Uint8Array {
  try {
    return parseDetachKeys(text ?? DEFAULT_DETACH_KEYS);
  } catch (cause) {
    throw new LighterError("invalid", `Invalid detach keys (${text ?? ""}) provided`, { cause });
  }
}

/** The key of a request to upgrade. Throws `invalid` for another kind of request. https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1 */
function keyOf(call: Call): string {
  const key = call.header("sec-websocket-key");
  const upgrades = hasToken(call.header("connection"), "upgrade") && hasToken(call.header("upgrade"), "websocket");
  if (!upgrades || key === undefined) throw new LighterError("invalid", "not websocket protocol");
  if (call.header("sec-websocket-version") !== "13") throw new LighterError("invalid", "missing or bad WebSocket Version");
  return key;
}
