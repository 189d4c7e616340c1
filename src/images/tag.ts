import { LighterError } from "../base/errors.ts";
import { familiarName, familiarReference, parseReference, type Reference } from "../base/reference.ts";
import type { ImageConfig } from "../oci/image.ts";
import type { State } from "../state/state.ts";
import { findImage } from "./find.ts";
import { imageEvent } from "./image-events.ts";
import { putName } from "./rows.ts";

/** The reference that a target of `tag` or `import` means; throws `invalid` for one with a digest. */
export function targetReference({ repository, tag }: { repository: string; tag?: string }): Reference {
  const reference = parseReference(tag ? `${repository}:${tag}` : repository);
  if (reference.digest !== undefined) throw new LighterError("invalid", "refusing to create a tag with a digest reference");
  if (familiarName(reference) === "sha256")
    throw new LighterError("invalid", "refusing to create an ambiguous tag using digest algorithm as name");
  return reference;
}

/** Gives an image one more name; a name that meant another image moves. The event carries the labels of `config`. */
export function tagImage(
  { state, changed }: { state: State; changed: () => void },
  source: string,
  target: { repository: string; tag?: string },
  config?: ImageConfig,
): void {
  const { image } = findImage(state, source);
  const reference = targetReference(target);
  state.write(
    (tx) => {
      putName(tx, reference, image.id);
      imageEvent(tx, "tag", image.id, familiarReference(reference), config);
      tx.afterCommit(changed);
    },
    { durable: true },
  );
}
