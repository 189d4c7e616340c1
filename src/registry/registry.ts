import type { GcReport } from "./gc.ts";

/**
 * The built-in registry: OCI distribution over the engine's own content store. It serves on a unix socket below the exec root
 * (for the daemon's own pulls of shipped images), and on addresses of the network where it is told to.
 */
export interface Registry {
  /** Path of the unix socket it listens on. */
  readonly unix: string;
  /** Where else it listens: `http://127.0.0.1:5000`. */
  readonly addresses: readonly string[];
  /** Whether a repository was shipped with the executable: what stands in for Docker Hub. What was pushed does not. */
  has(repository: string): boolean;
  /** Applies the retention rules and removes what nothing needs any more. */
  collect(options?: { dryRun?: boolean; untagged?: number }): Promise<GcReport>;
  [Symbol.asyncDispose](): Promise<void>;
}
