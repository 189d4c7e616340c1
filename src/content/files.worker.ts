/** Runs file jobs: whatever walks trees, packs, unpacks or deletes. Started by `pool.ts`. */
import { LighterError } from "../base/errors.ts";
import { type JobContext, JobPort, type Message, toPlain } from "./job.ts";
import { JOBS, type JobName } from "./jobs.ts";

declare const self: Worker & { postMessage(message: unknown, transfer?: ArrayBuffer[]): void };

const running = new Map<number, { port: JobPort; controller: AbortController }>();

self.addEventListener("message", (event: MessageEvent<Message>) => {
  const message = event.data;
  if (message.type === "start") {
    void start(message.job, message.name as JobName, message.args);
    return;
  }
  const job = running.get(message.job);
  if (message.type === "abort") {
    job?.controller.abort();
    job?.port.fail(new LighterError("cancelled", "The operation was cancelled"));
  } else job?.port.accept(message);
});

async function start(job: number, name: JobName, args: unknown): Promise<void> {
  const controller = new AbortController();
  const port = new JobPort((message, transfer) => self.postMessage({ job, ...message }, transfer));
  running.set(job, { port, controller });
  try {
    const run = JOBS[name] as (args: unknown, context: JobContext) => Promise<unknown>;
    const result = await run(args, { port, signal: controller.signal });
    self.postMessage({ job, type: "done", result });
  } catch (error) {
    self.postMessage({ job, type: "failed", error: toPlain(error) });
  } finally {
    running.delete(job);
  }
}
