import type { Digest } from "../oci/image.ts";

/** What images/ asks of others; filled in by engine/. */
export interface ImagesNeeds {
  /** Containers that use an image, so that it is not removed under them. */
  users(image: Digest): { id: string; name: string; running: boolean }[];
  /**
   * The built-in registry: stands in for Docker Hub only where that cannot be reached (a network failure, never an answer). Undefined switches it off.
   */
  builtin: { unix: string; has(repository: string): boolean } | undefined;
}
