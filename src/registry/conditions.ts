import { answer, refuse } from "./answers.ts";

/** The entity tag of content: its digest (RFC 9110 section 8.8.3). */
export function etagOf(digest: string): string {
  return `"${digest}"`;
}

/** 304 where the client has it already (`If-None-Match`, RFC 9110 section 13.1.2); undefined to send it. */
export function notModified(request: Request, digest: string): Response | undefined {
  const known = request.headers.get("if-none-match");
  if (known === null || !matches(known, digest)) return undefined;
  return answer(304, { etag: etagOf(digest), "docker-content-digest": digest });
}

/**
 * 412 where a write is meant for another state than this one: `If-Match` with the digest that a tag must still have, `If-None-Match: *` for tags that
 * must not be there yet (RFC 9110 section 13.1). `current` is the digest that the tag has.
 */
export function refuseUnmet(request: Request, current: string | undefined): Response | undefined {
  const wanted = request.headers.get("if-match");
  const unwanted = request.headers.get("if-none-match");
  const met = wanted === null || (current !== undefined && matches(wanted, current));
  const free = unwanted === null || current === undefined || !matches(unwanted, current);
  return met && free ? undefined : refuse("PRECONDITION", current);
}

function matches(list: string, digest: string): boolean {
  return list.split(",").some((each) => each.trim() === "*" || each.trim().replace(/^W\//, "") === etagOf(digest));
}
