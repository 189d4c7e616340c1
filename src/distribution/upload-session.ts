import { LighterError } from "../base/errors.ts";
import type { Digest } from "../oci/image.ts";
import { refusalOf, type Attempt } from "./answers.ts";
import type { Connection } from "./connection.ts";
import type { Warned } from "./warnings.ts";

/** The repository that an upload goes to. */
export interface UploadTarget {
  connection: Connection;
  repository: string;
  scopes: readonly string[];
  attempt: (method: string, path: string) => Attempt;
  warned?: Warned | undefined;
}

/** An upload under way: its address, and how many bytes the registry has. */
export interface UploadSession {
  location: string;
  offset: number;
  /** Chunks but the last must not be shorter, in bytes. */
  leastChunk: number;
}

/** A piece of a blob to send. */
export interface Piece {
  /** First byte and the one after the last. */
  start: number;
  end: number;
  body: ReadableStream<Uint8Array>;
  signal?: AbortSignal | undefined;
}

/** What a registry answered when it refused. */
export interface Refused {
  status: number;
  /** Milliseconds that it asks to wait. */
  wait?: number;
}

/** A single request of a big layer over a slow line takes as long as it takes, in milliseconds. */
const SEND_TIMEOUT = 3_600_000;
/** The registry reads the whole blob again to check its digest. */
const FINISH_TIMEOUT = 300_000;

const refusals = new WeakMap<object, Refused>();

/** The answer behind an error of this file; undefined for any other error. */
export function refusedBy(error: unknown): Refused | undefined {
  return typeof error === "object" && error !== null ? refusals.get(error) : undefined;
}

/**
 * POST: begins an upload, or mounts the blob from another repository of the registry. A registry may know some of the blob already and say so (`Range`).
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#mounting-a-blob-from-another-repository
 */
export async function beginUpload(
  target: UploadTarget,
  options: { digest: Digest; from?: string | undefined; signal?: AbortSignal | undefined },
): Promise<UploadSession | "mounted"> {
  const { digest, from, signal } = options;
  const mount = from === undefined ? "" : `?${new URLSearchParams({ mount: digest, from }).toString()}`;
  const path = `/v2/${target.repository}/blobs/uploads/${mount}`;
  const scopes = from === undefined ? target.scopes : [...target.scopes, `repository:${from}:pull`];
  const response = await target.connection.request({
    method: "POST",
    path,
    scopes,
    signal,
    headers: { "content-length": "0" },
    warned: target.warned,
  });
  if (response.status !== 201 && response.status !== 202) throw await refused(target, response, "POST", path);
  if (response.status === 201 && from !== undefined) return drop(response, "mounted");
  const leastChunk = Number(response.headers.get("oci-chunk-min-length") ?? 0) || 0;
  return drop(response, { location: locationOf(response), offset: arrived(response) ?? 0, leastChunk });
}

/** PATCH: one piece; what the registry has then. https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks */
export async function patchUpload(target: UploadTarget, session: UploadSession, piece: Piece, size: number): Promise<UploadSession> {
  const headers = lengthHeaders(piece);
  // A whole blob in one request is a stream, which every registry takes; the range is for those that count.
  if (piece.start > 0 || piece.end < size) headers["content-range"] = `${piece.start}-${piece.end - 1}`;
  const response = await exchange(target, "PATCH", session.location, { headers, ...bodyOf(piece), timeout: SEND_TIMEOUT });
  if (response.status !== 202) throw await refused(target, response, "PATCH", session.location);
  return drop(response, { ...session, location: locationOf(response), offset: piece.end });
}

/** PUT: closes an upload, with all of the blob in it where the registry does not take pieces. */
export async function finishUpload(
  target: UploadTarget,
  session: UploadSession,
  digest: Digest,
  options: { signal?: AbortSignal | undefined; whole?: Piece },
): Promise<void> {
  const path = `${session.location}${session.location.includes("?") ? "&" : "?"}digest=${encodeURIComponent(digest)}`;
  const rest =
    options.whole === undefined
      ? { headers: { "content-length": "0" }, signal: options.signal, timeout: FINISH_TIMEOUT }
      : { headers: lengthHeaders(options.whole), ...bodyOf(options.whole), timeout: SEND_TIMEOUT };
  const response = await exchange(target, "PUT", path, rest);
  if (response.status !== 201 && response.status !== 204) throw await refused(target, response, "PUT", path);
  drop(response, undefined);
}

/** GET: how much of an upload has arrived; undefined where that cannot be told, so that it has to begin anew. */
export async function resumeUpload(
  target: UploadTarget,
  session: UploadSession,
  signal: AbortSignal | undefined,
): Promise<UploadSession | undefined> {
  const response = await exchange(target, "GET", session.location, { signal });
  const offset = arrived(response);
  if (response.status === 401 || response.status === 429 || response.status >= 500)
    throw await refused(target, response, "GET", session.location);
  // "0-0" may mean one byte, or none.
  if (response.status !== 204 || offset === undefined || offset === 0) return drop(response, undefined);
  return drop(response, { ...session, location: response.headers.has("location") ? locationOf(response) : session.location, offset });
}

/** DELETE: lets the registry forget an upload; one that does not is left to its sweep. */
export async function cancelUpload(target: UploadTarget, session: UploadSession): Promise<void> {
  const response = await exchange(target, "DELETE", session.location, { timeout: 10_000 }).catch(() => undefined);
  if (response !== undefined) drop(response, undefined);
}

type Rest = Omit<Parameters<Connection["request"]>[0], "method" | "path" | "scopes">;

function exchange(target: UploadTarget, method: string, path: string, rest: Rest): Promise<Response> {
  return target.connection.request({ ...rest, method, path, scopes: target.scopes, warned: target.warned });
}

function lengthHeaders({ start, end }: Piece): Record<string, string> {
  return { "content-type": "application/octet-stream", "content-length": String(end - start) };
}

function bodyOf({ body, signal }: Piece): Pick<Rest, "body" | "signal"> {
  return { body, signal };
}

async function refused(target: UploadTarget, response: Response, method: string, path: string): Promise<LighterError> {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const error = await refusalOf(response, target.attempt(method, path));
  refusals.set(error, { status: response.status, ...(seconds >= 0 && seconds <= 60 ? { wait: seconds * 1000 } : {}) });
  return error;
}

/** How many bytes a `Range` of an upload says; undefined where there is none. */
function arrived(response: Response): number | undefined {
  const end = /^(?:bytes=)?0-(\d+)$/.exec(response.headers.get("range") ?? "")?.[1];
  return end === undefined ? undefined : Number(end) === 0 ? 0 : Number(end) + 1;
}

/** The upload's next address, absolute: registries give a URL, a path, or only what differs. One behind a proxy may not know of its TLS. */
function locationOf(response: Response): string {
  const location = response.headers.get("location");
  if (location === null) throw new LighterError("invalid", "the registry accepted an upload, but gave no Location for it");
  const url = URL.parse(location, response.url);
  if (url === null) throw new LighterError("invalid", `the registry accepted an upload, but its Location "${location}" is no address`);
  if (url.protocol === "http:" && response.url.startsWith("https:") && url.host === new URL(response.url).host) url.protocol = "https:";
  return url.href;
}

/** The value, once nothing more of the answer is wanted. */
function drop<T>(response: Response, value: T): T {
  void response.body?.cancel().catch(() => undefined);
  return value;
}
