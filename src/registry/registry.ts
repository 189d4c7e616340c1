/**
 * The built-in registry: OCI distribution over the engine's own content store. It serves on a unix socket below the exec root
 * (for the daemon's own pulls of shipped images); `registry serve` will open it to the network.
 */
export interface Registry {
  /** Path of the unix socket it listens on. */
  readonly unix: string;
  /** Whether a repository is here: the shipped images, and what was pushed. */
  has(repository: string): boolean;
  [Symbol.asyncDispose](): Promise<void>;
}
