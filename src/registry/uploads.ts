import { kindOf } from "../base/errors.ts";
import type { Ingest } from "../content/content.ts";
import type { Digest } from "../oci/image.ts";
import { answer, refuse } from "./answers.ts";
import { askedBy } from "./asked-by.ts";
import { OpenUploads } from "./open-uploads.ts";
import { receive } from "./receive.ts";
import { algorithmOf, isName } from "./references.ts";
import type { Call, RegistryContext } from "./routes.ts";
import { contentOf, findContent, linkRow, putLink } from "./rows.ts";
import type { Storage } from "./storage.ts";
import { writeTogether } from "./write-together.ts";

const UPLOAD = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RANGE = /^(?:bytes[ =])?(\d+)-(\d+)(?:\/(?:\d+|\*))?$/;

/** Chunks shorter than this are slow to send, in bytes; the last one may have any length. Nothing is refused for it. */
const CHUNK_LEAST = 1 << 16;

/** Whoever wrote to an upload may have gone without its connection's end being seen yet: another one waits so long for it, in milliseconds. */
const PATIENCE = 2000;
/** Its state is not known while it is opened or closed, which takes long for a large one. */
const STATUS_PATIENCE = 10_000;
const PAUSE = 20;

/** POST: mounts a blob of another repository, takes a whole blob at once, or begins an upload. */
export async function beginUpload(context: RegistryContext, call: Call): Promise<Response> {
  const { url, repository } = call;
  const mount = url.searchParams.get("mount");
  if (mount !== null && mountBlob(context, call, mount)) return created(repository, mount);
  const whole = mount === null ? url.searchParams.get("digest") : null;
  if (whole !== null && algorithmOf(whole) === undefined) return refuse("DIGEST_INVALID", whole);
  const algorithm = url.searchParams.get("digest-algorithm");
  if (algorithm !== null && algorithm !== "sha256" && algorithm !== "sha512") return refuse("DIGEST_INVALID", algorithm);
  const begun = { ...call, target: crypto.randomUUID() };
  const ingest = await openUploads(context).take(context.content, refOf(begun));
  if (whole !== null) return complete(context, begun, ingest);
  await openUploads(context).giveBack(refOf(begun), ingest);
  return answer(202, { ...rangeHeaders(begun, 0), "oci-chunk-min-length": String(CHUNK_LEAST) });
}

/** PATCH: the next piece; with `Content-Range` it must begin where the upload stands. */
export async function resumeUpload(context: RegistryContext, call: Call): Promise<Response> {
  const ingest = await openUpload(context, call);
  if (ingest === undefined) return refuse("BLOB_UPLOAD_UNKNOWN", call.target);
  const uploads = openUploads(context);
  const position = ingest.offset;
  const wrong = checkRange(call, position);
  if (wrong !== undefined) {
    await uploads.giveBack(refOf(call), ingest);
    return wrong;
  }
  const received = await receiveOrClose(uploads, call, ingest);
  await uploads.giveBack(refOf(call), ingest);
  return answer(202, rangeHeaders(call, position + received));
}

/** PUT: the last piece, if any, and the digest that all of it must have. */
export async function finishUpload(context: RegistryContext, call: Call): Promise<Response> {
  if (!isKnown(context, call)) return refuse("BLOB_UPLOAD_UNKNOWN", call.target);
  const digest = call.url.searchParams.get("digest") ?? "";
  if (algorithmOf(digest) === undefined) return refuse("DIGEST_INVALID", digest);
  const ingest = await openUpload(context, call);
  if (ingest === undefined) return refuse("BLOB_UPLOAD_UNKNOWN", call.target);
  const wrong = checkRange(call, ingest.offset);
  if (wrong === undefined) return complete(context, call, ingest);
  await openUploads(context).giveBack(refOf(call), ingest);
  return wrong;
}

/** GET: how far the upload is, while another request writes to it as well. */
export async function uploadStatus(context: RegistryContext, call: Call): Promise<Response> {
  return await patiently(STATUS_PATIENCE, async () => {
    if (!isKnown(context, call)) return refuse("BLOB_UPLOAD_UNKNOWN", call.target);
    return answer(204, rangeHeaders(call, await offsetOf(context, call)));
  });
}

/** Opens an upload to write to it; undefined where it is not known. Throws `conflict` while another request writes to it. */
async function openUpload(context: RegistryContext, call: Call): Promise<Ingest | undefined> {
  return await patiently(PATIENCE, async () =>
    isKnown(context, call) ? await openUploads(context).take(context.content, refOf(call)) : undefined,
  );
}

/** Tries again for so many milliseconds where another request is in the way. */
async function patiently<T>(milliseconds: number, attempt: () => Promise<T>): Promise<T> {
  for (let left = milliseconds; ; left -= PAUSE) {
    try {
      return await attempt();
    } catch (error) {
      if (kindOf(error) !== "conflict" || left <= 0) throw error;
      await Bun.sleep(PAUSE);
    }
  }
}

/** Throws `conflict` while the upload is being opened or closed. */
async function offsetOf(context: RegistryContext, call: Call): Promise<number> {
  const uploads = openUploads(context);
  const known = uploads.offset(refOf(call));
  if (known !== undefined) return known;
  const ingest = await uploads.take(context.content, refOf(call));
  await uploads.giveBack(refOf(call), ingest);
  return ingest.offset;
}

function openUploads(context: RegistryContext): OpenUploads {
  return (context.uploads ??= new OpenUploads());
}

/** DELETE: gives the upload up. */
export async function cancelUpload(context: RegistryContext, call: Call): Promise<Response> {
  const ingest = await openUpload(context, call);
  if (ingest === undefined) return refuse("BLOB_UPLOAD_UNKNOWN", call.target);
  try {
    await ingest.abort();
  } finally {
    openUploads(context).ended(refOf(call));
  }
  return answer(204);
}

/** Takes the rest of the body, checks the digest, and shows the blob in the repository. */
async function complete(context: RegistryContext, call: Call, ingest: Ingest): Promise<Response> {
  await receiveOrClose(openUploads(context), call, ingest);
  try {
    return await keep(context, call, ingest);
  } finally {
    openUploads(context).ended(refOf(call));
  }
}

/** Takes the body. Where that fails, the upload is closed, to be opened anew by whoever goes on with it; one that the disk has no room for gives back what it took. */
async function receiveOrClose(uploads: OpenUploads, call: Call, ingest: Ingest): Promise<number> {
  try {
    const received = await receive(call.request, { write: (data) => ingest.give(data) });
    // Not before all of it is in the file is it there.
    await ingest.digest();
    return received;
  } catch (error) {
    try {
      await (kindOf(error) === "no-space" ? ingest.abort() : ingest.suspend());
    } finally {
      uploads.ended(refOf(call));
    }
    throw error;
  }
}

/** Makes an upload a blob of its repository, if it is what its digest says. */
async function keep({ state, content, services }: RegistryContext, call: Call, ingest: Ingest): Promise<Response> {
  const { url, repository } = call;
  const digest = (url.searchParams.get("digest") ?? "") as Digest;
  using lease = content.lease(`push ${repository}`);
  const stored = algorithmOf(digest) === "sha256" ? digest : await ingest.digest();
  let size: number;
  try {
    lease.addBlob(stored);
    size = (await ingest.commit({ digest: stored, mediaType: "application/octet-stream" }, lease)).size;
  } catch (error) {
    if (kindOf(error) === "invalid") return refuse("DIGEST_INVALID", digest);
    throw error;
  }
  // What turns out to be something else is shown nowhere, and collected.
  if (stored !== digest && (await hashOf(content, stored)) !== digest) return refuse("DIGEST_INVALID", digest);
  await writeTogether(state, (tx) => {
    linkBlob(tx, repository, digest, stored);
    services?.record(tx, { action: "push", repository, digest, mediaType: "application/octet-stream", size, ...askedBy(call) });
  });
  return created(repository, digest);
}

/** The sha512 of a blob that is here. */
async function hashOf(content: Storage, digest: Digest): Promise<string> {
  const found = await content.body(digest);
  const hash = new Bun.CryptoHasher("sha512");
  const body =
    "redirect" in found ? (await fetch(found.redirect)).body : found.body instanceof ReadableStream ? found.body : found.body.stream();
  for await (const piece of body ?? []) hash.update(piece);
  return `sha512:${hash.digest("hex")}`;
}

/** Shows a blob in another repository: of the one that is named, or of any that the client may pull from. */
function mountBlob({ state, content, services }: RegistryContext, call: Call, digest: string): boolean {
  const { repository, url, visitor } = call;
  const from = url.searchParams.get("from");
  if (from !== null && !isName(from)) return false;
  const links = from === null ? findContent(state, digest) : [linkRow(state, from, digest)];
  const link = links.find((each) => each !== undefined && visitor.may(each.repository, "pull"));
  const blob = link === undefined ? undefined : content.blob(contentOf(link));
  if (link === undefined || blob === undefined) return false;
  state.write(
    (tx) => {
      linkBlob(tx, repository, link.digest, blob.digest);
      services?.record(tx, {
        action: "mount",
        repository,
        digest: link.digest,
        mediaType: "application/octet-stream",
        size: blob.size,
        fromRepository: link.repository,
        ...askedBy(call),
      });
    },
    { durable: true },
  );
  return true;
}

function linkBlob(tx: Parameters<typeof putLink>[0], repository: string, digest: Digest, stored: Digest): void {
  if (linkRow(tx, repository, digest)?.kind === "manifest") return;
  putLink(tx, { repository, digest, kind: "blob", media_type: "application/octet-stream", content: stored === digest ? null : stored });
}

/** A refusal where the body does not begin at `position`, or is not as long as its range says. */
function checkRange(call: Call, position: number): Response | undefined {
  const text = call.request.headers.get("content-range");
  if (text === null) return undefined;
  const [, start, end] = RANGE.exec(text) ?? [];
  if (start === undefined || Number(start) !== position || Number(end) < Number(start) - 1)
    return refuse("RANGE_INVALID", text, rangeHeaders(call, position));
  const length = call.request.headers.get("content-length");
  if (length === null || Number(length) === Number(end) - Number(start) + 1) return undefined;
  return refuse("SIZE_INVALID", `${text} with ${length} bytes`, rangeHeaders(call, position));
}

function isKnown({ content }: RegistryContext, call: Call): boolean {
  return UPLOAD.test(call.target) && content.isIngesting(refOf(call));
}

/** An upload belongs to one repository: another one does not know it. */
function refOf({ repository, target }: Pick<Call, "repository" | "target">): string {
  return `upload:${repository}:${target}`;
}

function created(repository: string, digest: string): Response {
  return answer(201, { location: `/v2/${repository}/blobs/${digest}`, "docker-content-digest": digest });
}

function rangeHeaders({ repository, target }: Call, position: number): Record<string, string> {
  return { location: `/v2/${repository}/blobs/uploads/${target}`, range: `0-${Math.max(0, position - 1)}`, "docker-upload-uuid": target };
}
