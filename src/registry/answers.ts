import { kindOf, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";

/**
 * Refusals: the status, the sentence, and the protocol's code where it is not the name itself; its list is closed.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 */
const CODES = {
  BLOB_UNKNOWN: [404, "blob unknown to registry"],
  BLOB_UPLOAD_INVALID: [400, "blob upload invalid"],
  BLOB_UPLOAD_UNKNOWN: [404, "blob upload unknown to registry"],
  DIGEST_INVALID: [400, "provided digest did not match uploaded content"],
  MANIFEST_BLOB_UNKNOWN: [404, "manifest references a manifest or blob unknown to registry"],
  MANIFEST_INVALID: [400, "manifest invalid"],
  MANIFEST_UNKNOWN: [404, "manifest unknown"],
  NAME_INVALID: [400, "invalid repository name"],
  NAME_UNKNOWN: [404, "repository name not known to registry"],
  TAG_INVALID: [400, "manifest tag did not match URI", "MANIFEST_INVALID"],
  SIZE_INVALID: [400, "provided length did not match content length"],
  MANIFEST_TOO_LARGE: [413, "manifest is larger than this registry takes", "SIZE_INVALID"],
  RANGE_INVALID: [416, "the range does not follow what is here", "BLOB_UPLOAD_INVALID"],
  TIMED_OUT: [408, "the body did not come on", "BLOB_UPLOAD_INVALID"],
  PRECONDITION: [412, "what is here is not what the request expects", "MANIFEST_INVALID"],
  TOO_MANY_TAGS: [414, "too many tags in one request", "MANIFEST_INVALID"],
  UNAUTHORIZED: [401, "authentication required"],
  DENIED: [403, "requested access to the resource is denied"],
  TOOMANYREQUESTS: [429, "too many requests"],
  UNSUPPORTED: [405, "the operation is unsupported"],
  CONFLICT: [409, "another request is writing to this upload", "BLOB_UPLOAD_INVALID"],
  NO_SPACE: [507, "no space left on device"],
  UNAVAILABLE: [503, "the storage does not answer"],
  UNKNOWN: [500, "unknown error"],
} as const satisfies Record<string, readonly [number, string, string?]>;

export type RegistryCode = keyof typeof CODES;

const VERSION_HEADER = { "docker-distribution-api-version": "registry/2.0" };

/** An answer without a body. */
export function answer(status: number, headers: Record<string, string> = {}): Response {
  return new Response(null, { status, headers: { ...VERSION_HEADER, ...headers } });
}

/** An answer in JSON. */
export function answerJson(value: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(value), { headers: { ...VERSION_HEADER, "content-type": "application/json", ...headers } });
}

/** An answer with bytes or a file. */
export function answerBytes(
  body: Uint8Array<ArrayBuffer> | Blob | ReadableStream<Uint8Array>,
  status: number,
  headers: Record<string, string>,
): Response {
  return new Response(body, { status, headers: { ...VERSION_HEADER, ...headers } });
}

/** A refusal in the form that the protocol prescribes. */
export function refuse(code: RegistryCode, detail?: unknown, headers: Record<string, string> = {}): Response {
  const [status, message, word = code] = CODES[code] as readonly [number, string, string?];
  const errors = [{ code: word, message, ...(detail === undefined ? {} : { detail }) }];
  return new Response(JSON.stringify({ errors }), {
    status,
    headers: { ...VERSION_HEADER, "content-type": "application/json", ...headers },
  });
}

/** The refusal for anything thrown. */
export function refuseError(error: unknown): Response {
  const kind = kindOf(error);
  if (kind === "not-found") return refuse("BLOB_UNKNOWN", messageOf(error));
  if (kind === "invalid") return refuse("DIGEST_INVALID", messageOf(error));
  if (kind === "conflict") return refuse("CONFLICT", messageOf(error));
  if (kind === "no-space") return refuse("NO_SPACE", messageOf(error));
  if (kind === "unavailable") return refuse("UNAVAILABLE", messageOf(error));
  // Whoever asked has gone: nobody reads this.
  if (kind === "cancelled") return refuse("TIMED_OUT", messageOf(error));
  logOf("registry").error("request failed: {error}", { error });
  return refuse("UNKNOWN", messageOf(error));
}
