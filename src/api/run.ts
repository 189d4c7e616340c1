import { LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { ByteStream } from "../transport/byte-stream.ts";
import type { ContainerCreateResponse, ContainerWaitResponse } from "../wire/engine-api.ts";
import { RUN_STREAM } from "../wire/run-messages.ts";
import type { Attachment } from "../wire/stream.ts";
import type { Answer, Call } from "./call.ts";
import { makeContainer } from "./containers.ts";
import { ClientSink } from "./output-sink.ts";
import { failureOf, tell } from "./run-stream.ts";

/**
 * Ours: what a client's `run` does in four requests (create, attach, wait, start), in one: `POST /lighter/run?name=&platform=&stdout=&stderr=&removed=`, with a create's body.
 * It is refused as that create is, and nothing is made then; afterwards the stream tells all (`wire/run-messages.ts`). `removed` waits for the removal of a `--rm` container.
 */
export async function run(call: Call): Promise<Answer> {
  const created = await makeContainer(call);
  // As with docker's requests one by one, nothing starts for a client that has gone meanwhile.
  if (call.signal.aborted) throw new LighterError("cancelled", "the client has closed the connection");
  return { hijack: { "Content-Type": RUN_STREAM }, run: (stream) => follow(call, stream, created) };
}

/** From the start to the end of the container, or until the client leaves: the container stays then, as it does when an attached client goes. */
async function follow(call: Call, stream: ByteStream, created: ContainerCreateResponse): Promise<void> {
  const id = created.Id;
  const left = stream.closed.then(() => "left" as const);
  // What a client sends here means nothing; reading is how its end is seen.
  stream.read(() => {}).catch((error: unknown) => logOf("api").debug("{id}: {error}", { id, error }));
  tell(stream, { created });
  using joined = new DisposableStack();
  try {
    const sink = new ClientSink({ framed: true });
    // Until the start has ended well, its failure may have to be told.
    sink.lendable = false;
    sink.bind(stream);
    const attachment = joined.adopt(await attached(call, id, sink), (joining) => joining.detach());
    const waiting = joined.adopt(ending(call, id), ({ cancel }) => cancel());
    await call.engine.containers.start(id, {});
    sink.lendable = true;
    await Promise.race([attachment.ended, sink.ended, left]);
    const ended = await Promise.race([waiting.result, left]);
    if (ended !== "left") tell(stream, { ended });
  } catch (error) {
    tell(stream, { failed: failureOf(error) });
  }
}

function attached({ engine, query }: Call, id: string, sink: ClientSink): Promise<Attachment> {
  const streams = { stdin: false, stdout: query.flag("stdout"), stderr: query.flag("stderr") };
  return engine.containers.attach(id, sink, { logs: false, stream: true, ...streams });
}

/** What a wait answers, an error included. */
function ending({ engine, query }: Call, id: string): { result: Promise<ContainerWaitResponse>; cancel(): void } {
  const { result, cancel } = engine.containers.wait(id, query.flag("removed") ? "removed" : "next-exit");
  const answered = result.then(
    ({ statusCode, error }) => ({ StatusCode: statusCode, ...(error !== undefined && { Error: { Message: error } }) }),
    (error: unknown) => ({ StatusCode: -1, Error: { Message: messageOf(error) } }),
  );
  return { result: answered, cancel };
}
