import { LighterError, kindOf } from "../base/errors.ts";
import type { Digest } from "../oci/image.ts";
import { refusalOf, type Attempt } from "./answers.ts";
import { pause, type Connection } from "./connection.ts";

/** What an upload needs: the same as `Repository.upload` takes. */
export interface UploadOptions {
  digest: Digest;
  size: number;
  open: (offset: number) => ReadableStream<Uint8Array>;
  mountFrom?: string;
  progress?: (done: number) => void;
  signal?: AbortSignal;
}

interface Target {
  connection: Connection;
  repository: string;
  scopes: readonly string[];
  attempt: (method: string, path: string) => Attempt;
}

const ATTEMPTS = 5;
/** A single PATCH of a big layer over a slow line takes as long as it takes. */
const UPLOAD_TIMEOUT = 3_600_000;

/**
 * Uploads a blob in one streamed PATCH, going on from where the registry says it is after a failure, and closes it with PUT.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks
 */
export async function uploadBlob(target: Target, options: UploadOptions): Promise<"uploaded" | "mounted"> {
  const begun = await begin(target, options);
  if (begun === "mounted") return begun;
  let location = begun;
  for (let attempt = 1, offset = 0; ; attempt++) {
    try {
      if (offset < options.size) location = await patch(target, options, location, offset);
      await finish(target, options, location);
      return "uploaded";
    } catch (error) {
      if (attempt >= ATTEMPTS || kindOf(error) !== "unavailable") throw error;
      await pause(250 * 2 ** attempt, options.signal);
      ({ location, offset } = await progressOf(target, options, location));
    }
  }
}

async function begin({ connection, repository, scopes, attempt }: Target, options: UploadOptions): Promise<string> {
  const mount =
    options.mountFrom === undefined ? "" : `?${new URLSearchParams({ mount: options.digest, from: options.mountFrom }).toString()}`;
  const path = `/v2/${repository}/blobs/uploads/${mount}`;
  const extra = options.mountFrom === undefined ? [] : [`repository:${options.mountFrom}:pull`];
  const response = await connection.request({
    method: "POST",
    path,
    scopes: [...scopes, ...extra],
    signal: options.signal,
    headers: { "content-length": "0" },
  });
  if (response.status !== 201 && response.status !== 202) throw await refusalOf(response, attempt("POST", path));
  await response.body?.cancel().catch(() => undefined);
  return response.status === 201 && options.mountFrom !== undefined ? "mounted" : locationOf(response, path);
}

async function patch(target: Target, options: UploadOptions, location: string, offset: number): Promise<string> {
  const body = counted(options.open(offset), offset, options.progress);
  const headers: Record<string, string> = { "content-type": "application/octet-stream" };
  if (offset > 0) headers["content-range"] = `${offset}-${options.size - 1}`;
  const request = {
    method: "PATCH",
    path: location,
    scopes: target.scopes,
    signal: options.signal,
    headers,
    body,
    timeout: UPLOAD_TIMEOUT,
  };
  const response = await target.connection.request(request);
  if (response.status !== 202) throw await refusalOf(response, target.attempt("PATCH", location));
  await response.body?.cancel().catch(() => undefined);
  return locationOf(response, location);
}

async function finish(target: Target, options: UploadOptions, location: string): Promise<void> {
  const path = `${location}${location.includes("?") ? "&" : "?"}digest=${encodeURIComponent(options.digest)}`;
  const request = {
    method: "PUT",
    path,
    scopes: target.scopes,
    signal: options.signal,
    headers: { "content-length": "0" },
    timeout: 300_000,
  };
  const response = await target.connection.request(request);
  if (response.status !== 201) throw await refusalOf(response, target.attempt("PUT", path));
  await response.body?.cancel().catch(() => undefined);
}

/** How much of a broken upload has arrived; an upload that is gone begins anew. */
async function progressOf(target: Target, options: UploadOptions, location: string): Promise<{ location: string; offset: number }> {
  const response = await target.connection.request({ method: "GET", path: location, scopes: target.scopes, signal: options.signal });
  await response.body?.cancel().catch(() => undefined);
  const end = /^(?:bytes=)?0-(\d+)$/.exec(response.headers.get("range") ?? "")?.[1];
  if (response.status === 204 && end !== undefined)
    return { location: locationOf(response, location), offset: Number(end) === 0 ? 0 : Number(end) + 1 };
  const { mountFrom: _mounting, ...plain } = options;
  return { location: await begin(target, plain), offset: 0 };
}

/** The upload's next address; registries give it absolute or relative to the request. */
function locationOf(response: Response, path: string): string {
  const location = response.headers.get("location");
  if (location === null && response.status === 204) return path;
  if (location === null) throw new LighterError("invalid", "the registry accepted an upload, but gave no Location for it");
  return location;
}

function counted(stream: ReadableStream<Uint8Array>, offset: number, progress?: (done: number) => void): ReadableStream<Uint8Array> {
  if (progress === undefined) return stream;
  let done = offset;
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        progress((done += piece.length));
        controller.enqueue(piece);
      },
    }),
  );
}
