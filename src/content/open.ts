import type { Content, ContentOptions } from "./content.ts";
import { ContentStore } from "./store.ts";

/**
 * Opens the content store of a data root, making its directories. One process at a time may have it open.
 * Leases of a daemon that is gone are dropped, what a crash left half-made is deleted in the background; partial downloads stay.
 */
export async function openContent(options: ContentOptions): Promise<Content> {
  const store = new ContentStore(options);
  await store.recover();
  return store;
}
