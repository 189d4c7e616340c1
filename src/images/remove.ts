import { LighterError } from "../base/errors.ts";
import { shortId } from "../base/ids.ts";
import { familiarReference, formatReference, parseReference, type Reference } from "../base/reference.ts";
import type { Digest, ImageConfig } from "../oci/image.ts";
import type { State, Tx } from "../state/state.ts";
import type { ImageDeleteResponseItem } from "../wire/engine-api.ts";
import { findImage } from "./find.ts";
import { imageEvent } from "./image-events.ts";
import type { ImagesNeeds } from "./needs.ts";
import { deleteImage, deleteManifest, deleteName, manifestsOf, namesOf, repositoryOf, type NameRow } from "./rows.ts";
import { choosePlatform } from "./runnable.ts";

/** What removing needs. */
export interface RemoveContext {
  state: State;
  users: ImagesNeeds["users"];
  changed: () => void;
}

/**
 * Removes a name, and with its last name the image; by id, the image with all its names. Says what was untagged and deleted, in Docker's order.
 * Throws `conflict` with Docker's texts where containers use it or several names need `force`.
 */
export function removeImage(
  { state, users, changed }: RemoveContext,
  text: string,
  force: boolean,
  config?: ImageConfig,
): ImageDeleteResponseItem[] {
  const found = findImage(state, text);
  const id = found.image.id;
  return state.write(
    (tx) => {
      tx.afterCommit(changed);
      const removal = { tx, id, users: users(id), force, config };
      return found.name === undefined ? removeById(removal, text) : removeByName(removal, text, found.name);
    },
    { durable: true },
  );
}

interface Removal {
  tx: Tx;
  id: Digest;
  users: ReturnType<ImagesNeeds["users"]>;
  force: boolean;
  /** For the labels of events. */
  config: ImageConfig | undefined;
}

function removeByName(removal: Removal, text: string, reference: Reference): ImageDeleteResponseItem[] {
  const { tx, id, users, force, config } = removal;
  const names = namesOf(tx, id);
  const own = ownNames(names, reference);
  const last = own.length >= names.length;
  const user = users[0];
  if (last && user !== undefined && !force) {
    throw new LighterError(
      "conflict",
      `conflict: unable to remove repository reference "${text}" (must force) - container ${shortId(user.id)} is using its referenced image ${shortId(id)}`,
    );
  }
  const records = own.map((row) => untag(tx, id, row, config));
  // An image that a container uses stays without a name, until that container is gone.
  if (last && user === undefined) records.push(drop(tx, id));
  return records;
}

/** The names that a reference means: a tag, with the last tag of its repository those by digest, too; for `name@digest` all of its repository. */
function ownNames(names: readonly NameRow[], reference: Reference): NameRow[] {
  const alike = names.filter((row) => row.repository === repositoryOf(reference));
  if (reference.digest !== undefined) return alike;
  const name = formatReference(reference);
  const others = alike.some((row) => row.tag !== null && row.name !== name);
  return alike.filter((row) => row.name === name || (row.tag === null && !others));
}

function removeById({ tx, id, users, force, config }: Removal, text: string): ImageDeleteResponseItem[] {
  const names = namesOf(tx, id);
  const running = users.find((user) => user.running);
  const refuse = (how: string, why: string): LighterError =>
    new LighterError("conflict", `conflict: unable to delete ${shortOf(text)} (${how}) - ${why}`);
  if (running !== undefined) throw refuse("cannot be forced", `image is being used by running container ${shortId(running.id)}`);
  if (!force && new Set(names.map((row) => row.repository)).size > 1)
    throw refuse("must be forced", "image is referenced in multiple repositories");
  if (!force && names.filter((row) => row.tag !== null).length > 1)
    throw refuse("must be forced", "image is referenced in multiple repositories");
  const user = users[0];
  if (!force && user !== undefined) throw refuse("must be forced", `image is being used by stopped container ${shortId(user.id)}`);
  const records = names.map((row) => untag(tx, id, row, config));
  return [...records, drop(tx, id)];
}

function shortOf(text: string): string {
  return /^(sha256:)?[0-9a-f]+$/.test(text) ? shortId(text) : text;
}

/** Takes a name away, with Docker's event. */
export function untag(tx: Tx, id: Digest, row: NameRow, config?: Pick<ImageConfig, "config">): ImageDeleteResponseItem {
  deleteName(tx, row.name);
  imageEvent(tx, "untag", id, id, config);
  return { Untagged: familiarReference(parseReference(row.name)) };
}

/** Removes an image without names, with Docker's event. */
export function drop(tx: Tx, id: Digest): ImageDeleteResponseItem {
  deleteImage(tx, id);
  imageEvent(tx, "delete", id, id);
  return { Deleted: id };
}

/**
 * Removes single platforms of an image (`rmi --platform`); with the last of them the image itself.
 * Throws `not-found` for one that is not here, `conflict` where containers use the image and it is not forced.
 */
export function removePlatforms(
  context: RemoveContext,
  text: string,
  platforms: readonly string[],
  force: boolean,
  config?: ImageConfig,
): ImageDeleteResponseItem[] {
  const { state, users, changed } = context;
  const found = findImage(state, text);
  const id = found.image.id;
  const rows = platforms.map((platform) => choosePlatform(state, found, platform, text).manifest);
  const manifests = [...new Set(rows)];
  if (manifestsOf(state, id).length <= manifests.length) return removeImage(context, text, force, config);
  const user = users(id)[0];
  if (user !== undefined && !force) {
    throw new LighterError(
      "conflict",
      `conflict: unable to delete ${shortOf(text)} (must be forced) - container ${shortId(user.id)} is using its referenced image ${shortId(id)}`,
    );
  }
  return state.write(
    (tx) => {
      tx.afterCommit(changed);
      return manifests.map((manifest) => {
        deleteManifest(tx, id, manifest);
        return { Deleted: manifest };
      });
    },
    { durable: true },
  );
}

/** Removes an image of a prune: nobody uses it, whatever names it has. */
export function pruneImage({ state, users, changed }: RemoveContext, id: Digest, config?: ImageConfig): ImageDeleteResponseItem[] {
  return state.write(
    (tx) => {
      if (users(id).length > 0) return [];
      tx.afterCommit(changed);
      return [...namesOf(tx, id).map((row) => untag(tx, id, row, config)), drop(tx, id)];
    },
    { durable: true },
  );
}
