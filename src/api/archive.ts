import { LighterError } from "../base/errors.ts";
import type { PathStat } from "../containers/containers.ts";
import type { AnswerStream } from "../transport/exchange.ts";
import { done, param, type Answer, type Call } from "./call.ts";

/** What `docker cp` asks first: is it there, and what is it. */
export async function statPath(call: Call): Promise<Answer> {
  return { status: 200, headers: statHeader(await call.engine.containers.stat(param(call, "id"), pathOf(call))) };
}

/** A path of the container as a tar stream. */
export async function getArchive(call: Call): Promise<Answer> {
  const { stat, tar } = await call.engine.containers.archive(param(call, "id"), pathOf(call), { signal: call.signal });
  return { status: 200, headers: { ...statHeader(stat), ...TAR }, stream: (out) => pour(tar, out, call.signal) };
}

/** Unpacks a tar stream (plain, gzip, bzip2, xz or zstd) into a directory of the container. */
export async function putArchive(call: Call): Promise<Answer> {
  const { query, signal } = call;
  await call.engine.containers.extract(param(call, "id"), pathOf(call), call.body.stream(), {
    noOverwriteDirNonDir: query.flag("noOverwriteDirNonDir"),
    copyUidGid: query.flag("copyUIDGID"),
    signal,
  });
  return done(200);
}

/** The whole root file system as a tar stream. */
export async function exportRoot(call: Call): Promise<Answer> {
  const tar = await call.engine.containers.export(param(call, "id"), { signal: call.signal });
  return { status: 200, headers: { "Content-Type": "application/octet-stream" }, stream: (out) => pour(tar, out, call.signal) };
}

const TAR = { "Content-Type": "application/x-tar" };

/** Sends a byte stream as the client takes it. A failure in the middle breaks the answer off; for a client that is gone nothing more is read. */
export async function pour(source: ReadableStream<Uint8Array>, out: AnswerStream, signal: AbortSignal): Promise<void> {
  for await (const piece of source) {
    if (signal.aborted) throw new LighterError("cancelled", "the client has closed the connection");
    if (!out.write(piece)) await out.drained();
  }
}

function pathOf(call: Call): string {
  const path = call.query.path("path");
  if (path === undefined) throw new LighterError("invalid", "bad parameter: path cannot be empty");
  return path;
}

function statHeader(stat: PathStat): { "X-Docker-Container-Path-Stat": string } {
  return { "X-Docker-Container-Path-Stat": Buffer.from(JSON.stringify({ ...stat, name: stat.name.toWellFormed() })).toString("base64") };
}
