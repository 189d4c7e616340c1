import { LighterError } from "../base/errors.ts";

/** What the kernel says to names, links, sizes, numbers and attributes that no file system takes, or that do not fit together. */
const FAULTS: ReadonlySet<unknown> = new Set([
  "E2BIG",
  "EEXIST",
  "EFBIG",
  "EINVAL",
  "EISDIR",
  "ELOOP",
  "EMLINK",
  "ENAMETOOLONG",
  "ENOENT",
  "ENOTDIR",
  "ENOTEMPTY",
  "EOPNOTSUPP",
  "EOVERFLOW",
  "EPERM",
  "ERANGE",
]);

/** The error of an unpacking: `invalid` where the archive is to blame, not this machine. */
export function archiveFault(error: unknown): unknown {
  if (error instanceof LighterError || !FAULTS.has((error as { code?: unknown } | null)?.code)) return error;
  return new LighterError("invalid", `Cannot unpack the archive: ${(error as Error).message}`, { cause: error });
}
