import { LighterError, type ErrorKind } from "../base/errors.ts";
import { familiarName, familiarReference, type Reference } from "../base/reference.ts";
import { parseChallenges } from "./challenge.ts";
import { brokenBody } from "./network-failure.ts";

/** What was being done when a registry refused: it decides Docker's sentence. */
export interface Attempt {
  method: string;
  url: string;
  reference: Reference;
  /** Tag or digest, where a manifest was asked for. */
  manifest?: string;
  push: boolean;
  /** Nobody's credentials went along. */
  anonymous?: boolean;
}

const DENIED = "requested access to the resource is denied";

interface Refusal {
  code: string;
  message: string;
}

/** The error for an answer that is not a success, in Docker's words. Reads at most 64 KiB of the body. */
export async function refusalOf(response: Response, attempt: Attempt): Promise<LighterError> {
  const body = await readText(response);
  if (response.status === 401 && attempt.anonymous === true && wantsBasic(response))
    return new LighterError(
      "unauthorized",
      attempt.push ? NO_CREDENTIALS : `${spelled(attempt.method)} "${attempt.url}": ${NO_CREDENTIALS}`,
    );
  const refusal = byChallenge(response) ?? parseRefusal(body) ?? byStatus(response.status);
  if (refusal === undefined) return new LighterError(kindOfStatus(response.status), unexpected(response.status, body));
  const text = `${refusal.code.toLowerCase().replaceAll("_", " ")}: ${refusal.message}`;
  if (response.status === 429 || refusal.code === "TOOMANYREQUESTS")
    return new LighterError("too-many", `toomanyrequests: ${refusal.message}`);
  if (attempt.push) return new LighterError(kindOfStatus(response.status), text);
  return pullRefusal(refusal.code, text, response.status, attempt);
}

/** Docker's words where a registry wants a password and nobody gave one. */
const NO_CREDENTIALS = "no basic auth credentials";

/** A method as Go's errors have it: `Head`. */
function spelled(method: string): string {
  return method.charAt(0) + method.slice(1).toLowerCase();
}

/** A token that was taken, and is for less than this: whatever the body says, that is a denial. RFC 6750 section 3.1. */
function byChallenge(response: Response): Refusal | undefined {
  const challenges = parseChallenges(response.headers.get("www-authenticate"));
  const lacking = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters["error"] === "insufficient_scope");
  if (lacking === undefined) return undefined;
  return { code: "DENIED", message: lacking.parameters["error_description"] || DENIED };
}

function wantsBasic(response: Response): boolean {
  return /^basic\b/i.test(response.headers.get("www-authenticate") ?? "");
}

function pullRefusal(code: string, text: string, status: number, { reference, manifest }: Attempt): LighterError {
  if (code === "DENIED") return accessDenied(reference, text);
  if (code === "MANIFEST_UNKNOWN") return manifestUnknown(reference, manifest, text);
  if (code === "NAME_UNKNOWN") return new LighterError("not-found", `repository ${familiarName(reference)} not found: ${text}`);
  return new LighterError(kindOfStatus(status), text);
}

/** Docker's sentence for a repository that is private or missing: a registry does not tell the two apart. */
export function accessDenied(reference: Reference, text = `denied: ${DENIED}`): LighterError {
  return new LighterError(
    "not-found",
    `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login': ${text}`,
  );
}

function manifestUnknown(reference: Reference, manifest: string | undefined, text: string): LighterError {
  const asked: Reference = { registry: reference.registry, repository: reference.repository };
  if (manifest?.includes(":")) asked.digest = manifest;
  else asked.tag = manifest ?? reference.tag ?? "latest";
  return new LighterError("not-found", `manifest for ${familiarReference(asked)} not found: ${text}`);
}

/** The first error of the body that the distribution protocol prescribes; undefined for any other text. */
function parseRefusal(body: string): Refusal | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return undefined;
  }
  const answer = parsed as { errors?: unknown; details?: unknown; message?: unknown } | null;
  const first = (Array.isArray(answer?.errors) ? answer.errors[0] : undefined) as { code?: unknown; message?: unknown } | undefined;
  if (typeof first?.code === "string")
    return { code: first.code, message: typeof first.message === "string" ? first.message : "unknown error" };
  return undefined;
}

/** What a status means where the body says nothing (an answer to HEAD has none). */
function byStatus(status: number): Refusal | undefined {
  if (status === 401) return { code: "UNAUTHORIZED", message: "authentication required" };
  if (status === 403) return { code: "DENIED", message: DENIED };
  if (status === 404) return { code: "MANIFEST_UNKNOWN", message: "manifest unknown" };
  if (status === 429) return { code: "TOOMANYREQUESTS", message: "too many requests to the registry, try again later" };
  return undefined;
}

function kindOfStatus(status: number): ErrorKind {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "not-found";
  if (status === 429) return "too-many";
  return status >= 500 ? "unavailable" : "invalid";
}

function unexpected(status: number, body: string): string {
  if (status >= 500 || status === 408) return `received unexpected HTTP status: ${status}`;
  return `error parsing HTTP ${status} response body: ${JSON.stringify(body.slice(0, 200))}`;
}

/** The text of an answer, cut at `limit` bytes; empty when it breaks off. */
export async function readText(response: Response, limit = 65536): Promise<string> {
  const bytes = await readAtMost(response, limit).catch(() => undefined);
  return bytes === undefined ? "" : new TextDecoder().decode(bytes.data);
}

/** Longer than this a small document must not take, in milliseconds: who sends it byte by byte is not waited for. */
const DOCUMENT_TIMEOUT = 60_000;

/**
 * Reads a body up to a limit; `cut` says that there was more. Throws `unavailable` for a body that breaks off or does not end in time.
 * @param timeout milliseconds for all of it
 */
export async function readAtMost(
  response: Response,
  limit: number,
  { timeout = DOCUMENT_TIMEOUT }: { timeout?: number } = {},
): Promise<{ data: Uint8Array; cut: boolean }> {
  const reader = response.body?.getReader();
  if (reader === undefined) return { data: new Uint8Array(), cut: false };
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(brokenBody(response.url, { code: "ETIMEDOUT" })), timeout);
  late.promise.catch(() => undefined);
  try {
    return await collect(() => Promise.race([reader.read(), late.promise]), limit);
  } catch (cause) {
    if (cause instanceof LighterError) throw cause;
    if ((cause as { name?: unknown } | null)?.name === "AbortError") throw new LighterError("cancelled", "context canceled", { cause });
    throw brokenBody(response.url, cause);
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => undefined);
  }
}

async function collect(
  read: () => Promise<{ done: boolean; value?: Uint8Array | undefined }>,
  limit: number,
): Promise<{ data: Uint8Array; cut: boolean }> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  while (length <= limit) {
    const { done, value } = await read();
    if (done || value === undefined) break;
    pieces.push(value);
    length += value.length;
  }
  return { data: Buffer.concat(pieces).subarray(0, limit), cut: length > limit };
}
