import { LighterError } from "../base/errors.ts";
import type { Attachment, OutputSink } from "../wire/stream.ts";
import { type Context, find, isRunning, liveOf, tellAlone } from "./context.ts";
import { tellingDetach } from "./detach.ts";
import type { Live } from "./live.ts";
import { isReadable } from "./log-options.ts";
import { readLogs } from "./logs.ts";
import { PendingAttachment, type Streams } from "./pending.ts";
import type { ContainerRow } from "./rows.ts";

/** What a client wants of an attach. */
export interface AttachOptions extends Streams {
  logs: boolean;
  stream: boolean;
}

/** See `Containers.attach`. The client is joined before this returns its promise, so that a start that follows cannot be missed. */
export function attachContainer(context: Context, reference: string, sink: OutputSink, options: AttachOptions): Promise<Attachment> {
  try {
    const row = find(context, reference);
    if (row.status === "paused")
      throw new LighterError("conflict", `container ${reference} is paused, unpause the container before attach`);
    if (row.status === "restarting")
      throw new LighterError("conflict", `container ${reference} is restarting, wait until the container is running`);
    const live = liveOf(context, row.id);
    const joined = joinContainer(context, row, live, sink, options);
    tellAlone(context, row, "attach");
    return Promise.resolve(tellingDetach(context, joined, { container: row.id, action: "detach" }));
  } catch (error) {
    return Promise.reject(error as Error);
  }
}

function joinContainer(context: Context, row: ContainerRow, live: Live, sink: OutputSink, options: AttachOptions): Attachment {
  const stdin = options.stdin && (row.desired.config.OpenStdin ?? false);
  const running = live.task !== undefined && isRunning(row);
  if (!options.stream && !options.logs) {
    sink.end();
    return nothing;
  }
  if (!options.stream || (options.logs && isReadable(row.desired.hostConfig.LogConfig) && (running || row.hasRun))) {
    // The stored output is followed instead of the live one: nothing is lost or told twice where they meet.
    const input = options.stream && stdin && running ? joinTask(live, silent, { stdin, stdout: false, stderr: false }) : undefined;
    return replay(context, row, sink, { ...options, follow: options.stream }, input);
  }
  return joinTask(live, sink, { stdin, stdout: options.stdout, stderr: options.stderr });
}

/** Neither what was nor what comes was asked for. */
const nothing: Attachment = {
  write: () => Promise.resolve(),
  closeInput: () => undefined,
  detach: () => undefined,
  ended: Promise.resolve(),
};

/** Joins the process that runs, or the next one. */
function joinTask(live: Live, sink: OutputSink, streams: Streams): Attachment {
  const attachment = new PendingAttachment(sink, streams, (self) => void live.pending.delete(self));
  live.pending.add(attachment);
  if (live.task !== undefined) attachment.join(live.task);
  return attachment;
}

const silent: OutputSink = { write: () => true, drained: () => Promise.resolve(), end: () => undefined };

function replay(
  context: Context,
  row: ContainerRow,
  sink: OutputSink,
  options: { stdout: boolean; stderr: boolean; follow: boolean },
  input: Attachment | undefined,
): Attachment {
  const stop = new AbortController();
  const ended = (async () => {
    try {
      for await (const entry of readLogs(context, row, { ...options, signal: stop.signal })) {
        if (!sink.write(entry.stream, entry.data)) await sink.drained();
        if (stop.signal.aborted) break;
      }
    } finally {
      sink.end();
    }
  })();
  const settled = ended.catch(() => undefined);
  return {
    write: (data) => input?.write(data) ?? Promise.resolve(),
    closeInput: () => input?.closeInput(),
    detach: () => {
      stop.abort();
      input?.detach();
    },
    ended: settled,
  };
}
