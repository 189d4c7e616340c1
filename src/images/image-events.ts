import { familiarName, familiarReference, type Reference } from "../base/reference.ts";
import type { Digest, ImageConfig } from "../oci/image.ts";
import { appendEvent } from "../state/events.ts";
import type { Tx } from "../state/state.ts";

/** Writes Docker's event for an image that was tagged, untagged, deleted, loaded, saved or imported: the actor is its id. */
export function imageEvent(
  tx: Tx,
  action: "tag" | "untag" | "delete" | "load" | "save" | "import",
  id: Digest,
  name: string,
  config?: Pick<ImageConfig, "config">,
): void {
  appendEvent(tx, { type: "image", action, actor: id, attributes: { ...config?.config?.Labels, name } });
}

/** Writes Docker's event for a pull or push: the actor is the reference, `name` the repository. */
export function transferEvent(tx: Tx, action: "pull" | "push", reference: Reference, config?: ImageConfig): void {
  const attributes = { ...config?.config?.Labels, name: familiarName(reference) };
  appendEvent(tx, { type: "image", action, actor: familiarReference(reference), attributes });
}
