import { answer, answerBytes, refuse } from "./answers.ts";
import type { Call, RegistryContext } from "./routes.ts";
import { deleteLink, linkRow } from "./rows.ts";
import type { ByteRange } from "./storage.ts";

/** GET and HEAD of a blob, one range included (RFC 9110 section 14). */
export async function getBlob({ state, content }: RegistryContext, { request, repository, target }: Call): Promise<Response> {
  const link = linkRow(state, repository, target);
  const blob = link === undefined ? undefined : content.blob(link.digest);
  if (blob === undefined) return refuse("BLOB_UNKNOWN", target);
  const headers = {
    "docker-content-digest": blob.digest,
    "content-type": "application/octet-stream",
    "accept-ranges": "bytes",
    etag: `"${blob.digest}"`,
  };
  if (request.method === "HEAD") return answer(200, { ...headers, "content-length": String(blob.size) });
  const range = rangeOf(request.headers.get("range"), blob.size);
  if (range === "none") return refuse("RANGE_INVALID", target, { "content-range": `bytes */${blob.size}` });
  const found = await content.body(blob.digest, range);
  if ("redirect" in found) return answer(307, { location: found.redirect });
  const length = range === undefined ? blob.size : range.end - range.start + 1;
  // Of a file Bun knows the length itself.
  const sized = found.body instanceof ReadableStream ? { ...headers, "content-length": String(length) } : headers;
  if (range === undefined) return answerBytes(found.body, 200, sized);
  return answerBytes(found.body, 206, { ...sized, "content-range": `bytes ${range.start}-${range.end}/${blob.size}` });
}

/** DELETE of a blob: out of this repository; the bytes go when nothing else needs them. */
export function deleteBlob({ state }: RegistryContext, { repository, target }: Call): Response {
  if (linkRow(state, repository, target)?.kind !== "blob") return refuse("BLOB_UNKNOWN", target);
  state.write((tx) => deleteLink(tx, repository, target), { durable: true });
  return answer(202);
}

/** First and last byte of a `Range` header; undefined to send it whole, `none` where nothing of it is there. */
function rangeOf(header: string | null, size: number): ByteRange | "none" | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  const start = match[1] === "" ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = match[1] === "" || match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  return start >= size || end < start ? "none" : { start, end };
}
