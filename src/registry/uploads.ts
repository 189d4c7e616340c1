import { kindOf } from "../base/errors.ts";
import type { Ingest } from "../content/content.ts";
import type { Digest } from "../oci/image.ts";
import { answer, refuse } from "./answers.ts";
import type { Call, RegistryContext } from "./routes.ts";
import { linkRow, putLink } from "./rows.ts";

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const UPLOAD = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** POST: mounts a blob of another repository, takes a whole blob at once, or begins an upload. */
export async function beginUpload(context: RegistryContext, call: Call): Promise<Response> {
  const { url, repository } = call;
  const mount = url.searchParams.get("mount");
  if (mount !== null && mountBlob(context, repository, mount, url.searchParams.get("from"))) return created(repository, mount);
  const id = crypto.randomUUID();
  const ingest = await context.content.ingest(refOf(id));
  if (url.searchParams.get("digest") !== null) return complete(context, { ...call, target: id }, ingest);
  await ingest.suspend();
  return accepted(repository, id, 0);
}

/** PATCH: the next piece; with `Content-Range` it must begin where the upload stands. */
export async function resumeUpload(context: RegistryContext, call: Call): Promise<Response> {
  if (!isKnown(context, call.target)) return refuse("BLOB_UPLOAD_UNKNOWN", call.target);
  const ingest = await context.content.ingest(refOf(call.target));
  let position = ingest.offset;
  try {
    if (!continues(call.request, position)) return refuse("RANGE_INVALID", undefined, rangeHeaders(call.repository, call.target, position));
    position += await receive(call.request, ingest);
  } finally {
    await ingest.suspend();
  }
  return accepted(call.repository, call.target, position);
}

/** PUT: the last piece, if any, and the digest that all of it must have. */
export async function finishUpload(context: RegistryContext, call: Call): Promise<Response> {
  if (!isKnown(context, call.target)) return refuse("BLOB_UPLOAD_UNKNOWN", call.target);
  const ingest = await context.content.ingest(refOf(call.target));
  if (continues(call.request, ingest.offset)) return complete(context, call, ingest);
  await ingest.suspend();
  return refuse("RANGE_INVALID", undefined, rangeHeaders(call.repository, call.target, ingest.offset));
}

/** GET: how far the upload is. */
export async function uploadStatus(context: RegistryContext, { repository, target }: Call): Promise<Response> {
  if (!isKnown(context, target)) return refuse("BLOB_UPLOAD_UNKNOWN", target);
  const ingest = await context.content.ingest(refOf(target));
  await ingest.suspend();
  return answer(204, rangeHeaders(repository, target, ingest.offset));
}

/** DELETE: gives the upload up. */
export async function cancelUpload(context: RegistryContext, { target }: Call): Promise<Response> {
  if (!isKnown(context, target)) return refuse("BLOB_UPLOAD_UNKNOWN", target);
  await (await context.content.ingest(refOf(target))).abort();
  return answer(204);
}

async function complete({ state, content }: RegistryContext, { request, url, repository }: Call, ingest: Ingest): Promise<Response> {
  const digest = url.searchParams.get("digest") ?? "";
  try {
    if (!DIGEST.test(digest)) {
      await ingest.suspend();
      return refuse("DIGEST_INVALID", digest);
    }
    await receive(request, ingest);
  } catch (error) {
    await ingest.suspend();
    throw error;
  }
  using lease = content.lease(`push ${repository}`);
  try {
    lease.addBlob(digest as Digest);
    await ingest.commit({ digest: digest as Digest, mediaType: "application/octet-stream" }, lease);
  } catch (error) {
    if (kindOf(error) === "invalid") return refuse("DIGEST_INVALID", digest);
    throw error;
  }
  state.write((tx) => linkBlob(tx, repository, digest as Digest), { durable: true });
  return created(repository, digest);
}

/** Shows a blob in another repository, if the named one has it. */
function mountBlob({ state, content }: RegistryContext, repository: string, digest: string, from: string | null): boolean {
  if (from === null || linkRow(state, from, digest) === undefined || content.blob(digest as Digest) === undefined) return false;
  state.write((tx) => linkBlob(tx, repository, digest as Digest), { durable: true });
  return true;
}

function linkBlob(tx: Parameters<typeof putLink>[0], repository: string, digest: Digest): void {
  if (linkRow(tx, repository, digest)?.kind === "manifest") return;
  putLink(tx, { repository, digest, kind: "blob", media_type: "application/octet-stream" });
}

/** Writes the request's body; how many bytes it had. */
async function receive(request: Request, ingest: Ingest): Promise<number> {
  let received = 0;
  for await (const piece of request.body ?? []) {
    await ingest.write(piece);
    received += piece.length;
  }
  return received;
}

function continues(request: Request, position: number): boolean {
  const start = /^(?:bytes )?(\d+)-\d+/.exec(request.headers.get("content-range") ?? "")?.[1];
  return start === undefined || Number(start) === position;
}

function isKnown({ content }: RegistryContext, id: string): boolean {
  return UPLOAD.test(id) && content.isIngesting(refOf(id));
}

function refOf(id: string): string {
  return `upload-${id}`;
}

function created(repository: string, digest: string): Response {
  return answer(201, { location: `/v2/${repository}/blobs/${digest}`, "docker-content-digest": digest });
}

function accepted(repository: string, id: string, position: number): Response {
  return answer(202, rangeHeaders(repository, id, position));
}

function rangeHeaders(repository: string, id: string, position: number): Record<string, string> {
  return { location: `/v2/${repository}/blobs/uploads/${id}`, range: `0-${Math.max(0, position - 1)}`, "docker-upload-uuid": id };
}
