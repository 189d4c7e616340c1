import { answer, answerBytes, refuse } from "./answers.ts";
import { askedBy } from "./asked-by.ts";
import { etagOf, notModified } from "./conditions.ts";
import { algorithmOf } from "./references.ts";
import type { Call, RegistryContext } from "./routes.ts";
import { contentOf, deleteLink, linkRow } from "./rows.ts";
import type { ByteRange } from "./storage.ts";

/** GET and HEAD of a blob, one range included (RFC 9110 section 14). */
export async function getBlob({ state, content }: RegistryContext, { request, repository, target }: Call): Promise<Response> {
  if (algorithmOf(target) === undefined) return refuse("DIGEST_INVALID", target);
  const link = linkRow(state, repository, target);
  const blob = link === undefined ? undefined : content.blob(contentOf(link));
  if (link === undefined || blob === undefined) return refuse("BLOB_UNKNOWN", target);
  const known = notModified(request, link.digest);
  if (known !== undefined) return known;
  const headers = {
    "docker-content-digest": link.digest,
    "content-type": "application/octet-stream",
    "accept-ranges": "bytes",
    etag: etagOf(link.digest),
  };
  if (request.method === "HEAD") return answer(200, { ...headers, "content-length": String(blob.size) });
  const range = rangeOf(request, link.digest, blob.size);
  if (range === "none") return answer(416, { "content-range": `bytes */${blob.size}`, "accept-ranges": "bytes" });
  const found = await content.body(blob.digest, range);
  if ("redirect" in found) return answer(307, { location: found.redirect });
  const length = range === undefined ? blob.size : range.end - range.start + 1;
  // Bun knows the length of a file itself, and sends streams in chunks: this is for whoever counts.
  const sized = { ...headers, "content-length": String(length) };
  if (range === undefined) return answerBytes(found.body, 200, sized);
  return answerBytes(found.body, 206, { ...sized, "content-range": `bytes ${range.start}-${range.end}/${blob.size}` });
}

/** DELETE of a blob: out of this repository; the bytes go when nothing else needs them. */
export function deleteBlob({ state, services }: RegistryContext, call: Call): Response {
  const { repository, target } = call;
  if (algorithmOf(target) === undefined) return refuse("DIGEST_INVALID", target);
  if (linkRow(state, repository, target)?.kind !== "blob") return refuse("BLOB_UNKNOWN", target);
  state.write(
    (tx) => {
      deleteLink(tx, repository, target);
      services?.record(tx, { action: "delete", repository, digest: target, ...askedBy(call) });
    },
    { durable: true },
  );
  return answer(202);
}

/**
 * First and last byte that a `Range` header asks for; undefined to send it whole (none asked, several, another unit, or `If-Range` names something else),
 * `none` where nothing of it is there.
 */
function rangeOf({ headers }: Request, digest: string, size: number): ByteRange | "none" | undefined {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/.exec(headers.get("range") ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  const expected = headers.get("if-range");
  if (expected !== null && expected !== etagOf(digest)) return undefined;
  if (match[1] !== "" && match[2] !== "" && Number(match[2]) < Number(match[1])) return undefined;
  const start = match[1] === "" ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = match[1] === "" || match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  return start >= size || end < start ? "none" : { start, end };
}
