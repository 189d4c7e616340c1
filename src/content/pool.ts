import { availableParallelism } from "node:os";
import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { reasonOf } from "../linux/lasting-worker.ts";
import { fromPlain, JobPort, type Message } from "./job.ts";
import type { JobArgs, JobName, JobResult } from "./jobs.ts";

/** A Worker without work is ended after this many milliseconds: it holds some 13 MB, and a new one is there in 20 ms. */
const IDLE = 8000;

interface Running {
  port: JobPort;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

interface Member {
  worker: Worker;
  jobs: Map<number, Running>;
  /** What it is for, beside the pool. */
  apart: Apart | undefined;
  idle?: ReturnType<typeof setTimeout>;
}

const log = logOf("content");
const members = new Set<Member>();
let lastJob = 0;

/** A job under way: its line, and what comes of it. */
export interface Job<Result> {
  port: JobPort;
  result: Promise<Result>;
}

/** What has one Worker more than those of the pool: jobs that wait for the disk all the time, that take bytes as they come from the network, that look at all rows. */
type Apart = "disk" | "bytes" | "rows";

/** How a job runs. */
export interface JobOptions {
  signal?: AbortSignal;
  apart?: Apart;
}

/**
 * Starts a file job in a Worker of the pool: at most one Worker a core, each runs several jobs by turns.
 * A cancel reaches the job between two system calls; `result` then throws `cancelled`, after the job has ended.
 */
export function startJob<Name extends JobName>(name: Name, args: JobArgs<Name>, options: JobOptions = {}): Job<JobResult<Name>> {
  if (options.signal?.aborted === true) {
    const refused = new LighterError("cancelled", "The operation was cancelled");
    const port = new JobPort(() => {});
    port.fail(refused);
    return { port, result: Promise.reject(refused) };
  }
  const member = choose(options.apart);
  const job = ++lastJob;
  const post = (message: object, transfer: ArrayBuffer[] = []): void => member.worker.postMessage({ job, ...message }, transfer);
  const port = new JobPort(post);
  const abort = (): void => {
    post({ type: "abort" });
    port.fail(new LighterError("cancelled", "The operation was cancelled"));
  };
  const result = new Promise<JobResult<Name>>((resolve, reject) => {
    member.jobs.set(job, { port, resolve: resolve as (result: unknown) => void, reject });
  }).finally(() => {
    options.signal?.removeEventListener("abort", abort);
    release(member, job);
  });
  options.signal?.addEventListener("abort", abort);
  post({ type: "start", name, args });
  return { port, result };
}

/** Runs a job that needs no line. */
export async function runJob<Name extends JobName>(name: Name, args: JobArgs<Name>, options: JobOptions = {}): Promise<JobResult<Name>> {
  return await startJob(name, args, options).result;
}

/** The Worker with the least to do; a new one while there are fewer than cores (one of those apart) and none is free. */
function choose(apart: Apart | undefined): Member {
  const fellows = [...members].filter((member) => member.apart === apart);
  const [least] = fellows.sort((a, b) => a.jobs.size - b.jobs.size);
  const most = apart === undefined ? availableParallelism() : 1;
  const member = least !== undefined && (least.jobs.size === 0 || fellows.length >= most) ? least : grow(apart);
  clearTimeout(member.idle);
  (member.worker as unknown as { ref(): void }).ref();
  return member;
}

function grow(apart: Apart | undefined): Member {
  const worker = new Worker(new URL("./files.worker.ts", import.meta.url));
  const member: Member = { worker, jobs: new Map(), apart };
  members.add(member);
  worker.addEventListener("message", (event: MessageEvent<Message>) => take(member, event.data));
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    lose(member, reasonOf(event.message));
  });
  worker.addEventListener("close", () => lose(member, "it ended"));
  return member;
}

function take(member: Member, message: Message): void {
  const running = member.jobs.get(message.job);
  if (running === undefined) return;
  if (message.type === "done") running.resolve(message.result);
  else if (message.type === "failed") running.reject(fromPlain(message.error));
  else running.port.accept(message);
}

function release(member: Member, job: number): void {
  member.jobs.get(job)?.port.fail(new LighterError("cancelled", "The job has ended"));
  member.jobs.delete(job);
  if (member.jobs.size > 0 || !members.has(member)) return;
  (member.worker as unknown as { unref(): void }).unref();
  member.idle = setTimeout(() => {
    members.delete(member);
    member.worker.terminate();
  }, IDLE);
  member.idle.unref();
}

function lose(member: Member, why: string): void {
  if (!members.delete(member)) return;
  clearTimeout(member.idle);
  log.error("a file thread died with {count} jobs, another one takes its place: {why}", { count: member.jobs.size, why });
  for (const running of member.jobs.values())
    running.reject(new LighterError("internal", `The file thread died while it was at work: ${why}`));
}
