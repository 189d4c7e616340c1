/**
 * What kind of failure an error is. Each door (HTTP, gRPC, the command line) maps kinds to its own wire in one function.
 *
 * - `invalid`: the request itself is wrong, whatever the state (400)
 * - `unauthorized`: credentials are missing or wrong (401)
 * - `forbidden`: the caller may not do this (403)
 * - `not-found`: the named thing does not exist (404)
 * - `conflict`: the thing exists, but its state or another one forbids this (409)
 * - `not-modified`: nothing to do, the state asked for is there already (304)
 * - `too-many`: a limit was reached, try later (429)
 * - `unsupported`: this build, kernel or runtime cannot do it (501)
 * - `unavailable`: a service that is needed cannot be reached (500 on Docker's wire, as its registries' failures)
 * - `no-space`: the disk or a quota is full (507 inside, 500 on Docker's wire)
 * - `cancelled`: the caller went away or asked to stop (499)
 * - `runtime`: the container's program could not be run (126/127 at the command line)
 * - `internal`: a defect or an unexpected answer of the kernel or a program (500)
 */
export type ErrorKind =
  | "invalid"
  | "unauthorized"
  | "forbidden"
  | "not-found"
  | "conflict"
  | "not-modified"
  | "too-many"
  | "unsupported"
  | "unavailable"
  | "no-space"
  | "cancelled"
  | "runtime"
  | "internal";

/** The one error type of the project: a kind for machines, a sentence for people, and what caused it. */
export class LighterError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "LighterError";
    this.kind = kind;
  }
}

/** The kind of any thrown value: its own for a {@link LighterError}, read from `code` for system errors, else `internal`. */
export function kindOf(error: unknown): ErrorKind {
  if (error instanceof LighterError) return error.kind;
  if (error instanceof DOMException && error.name === "AbortError") return "cancelled";
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") return "no-space";
  if (code === "ENOENT") return "not-found";
  // Only what was asked for can cause these.
  if (code === "ENAMETOOLONG" || code === "ELOOP") return "invalid";
  return "internal";
}

/** The sentence of any thrown value, without a stack. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  // Bun's advice to whoever writes programs is nothing for who uses them.
  return message.replace(
    /(?:ECONNRESET: )?The socket connection was closed unexpectedly\..*$/s,
    "the connection was closed before the answer was complete",
  );
}
