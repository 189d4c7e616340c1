import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { familiarReference, formatReference, parseReference, type Reference } from "../base/reference.ts";
import type { Blob, Content, Ingest, Lease } from "../content/content.ts";
import { digestOf } from "../oci/digest.ts";
import { isIndex, isManifest, type Descriptor, type Digest } from "../oci/image.ts";
import type { State } from "../state/state.ts";
import { imageEvent } from "./image-events.ts";
import { bestFor, gather, unpackAll } from "./load.ts";
import { readOrStall } from "../distribution/read-body.ts";
import { recordImage } from "./record.ts";
import { imageById, nameRow, putName } from "./rows.ts";

/** A repository as a name gives it. */
export type Repository = Pick<Reference, "registry" | "repository">;

/** How long what came for an image is kept for the rest of it, and once it is whole for another tag under way, in milliseconds. */
const PATIENCE = 15 * 60_000;
const AFTERWARDS = 60_000;
/** After so long without a byte whoever uploads counts as gone, in milliseconds: others wait for the blob. */
const STALL = 60_000;

interface ExchangeContext {
  state: State;
  content: Content;
  changed: () => void;
  /** In the place of {@link PATIENCE} and {@link STALL}. */
  patience?: number;
  stall?: number;
}

/** What came for an image that is not whole yet, and how many uploads for it run. */
interface Kept {
  lease: Lease;
  uploads: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/**
 * The images of this store as another one sees them: what a push or pull over ssh talks to, in the words of the distribution protocol.
 * An upload of a blob whose digest is told at its start is found again by it, in any later push or pull.
 */
export class ImageExchange {
  readonly #context: ExchangeContext;
  /** By repository. */
  #closed = false;
  readonly #kept = new Map<string, Kept>();

  constructor(context: ExchangeContext) {
    this.#context = context;
  }

  /** What a tag means, or a manifest that is here by its digest; undefined for neither. */
  manifest(repository: Repository, reference: string): Descriptor | undefined {
    const { state, content } = this.#context;
    if (!reference.includes(":")) {
      const row = nameRow(state, formatReference({ ...repository, tag: reference }));
      const image = row === undefined ? undefined : imageById(state, row.image);
      const size = image === undefined ? undefined : content.blob(image.id)?.size;
      return image === undefined || size === undefined ? undefined : { mediaType: image.media_type, digest: image.id, size };
    }
    const blob = content.blob(reference as Digest);
    const mediaType = imageById(state, reference)?.media_type ?? blob?.mediaType ?? "";
    if (blob === undefined || !(isIndex(mediaType) || isManifest(mediaType))) return undefined;
    return { mediaType, digest: blob.digest, size: blob.size };
  }

  /** Small content, whole. */
  read(digest: Digest): Promise<Uint8Array> {
    return this.#context.content.readBlob(digest);
  }

  /** A blob that is here and its file; it stays for a while, as what asks for it may be about to need it. */
  blob(repository: Repository, digest: Digest): (Blob & { path: string }) | undefined {
    const { content } = this.#context;
    const blob = content.blob(digest);
    if (blob === undefined) return undefined;
    this.#lease(repository).addBlob(digest);
    return { ...blob, path: content.blobPath(digest) };
  }

  /** How many bytes of an upload are here; a `ref` is a digest, or made up by who uploads. */
  async arrived(ref: string): Promise<number> {
    const ingest = await this.#context.content.ingest(ref);
    await ingest.suspend();
    return ingest.offset;
  }

  /** Appends to an upload. What came before a failure stays. Returns how much is here; undefined where `start` is not where the upload stands. */
  async append(
    repository: Repository,
    ref: string,
    start: number | undefined,
    pieces: ReadableStream<Uint8Array>,
  ): Promise<number | undefined> {
    using _ = this.#uploading(repository);
    const ingest = await this.#context.content.ingest(ref);
    try {
      if (start !== undefined && start !== ingest.offset) return undefined;
      await this.#write(ingest, pieces);
      return ingest.offset;
    } finally {
      await ingest.suspend();
    }
  }

  /** Closes an upload. Throws `invalid` for content of another digest, which is removed. */
  async finish(repository: Repository, ref: string, digest: Digest, pieces: ReadableStream<Uint8Array>): Promise<void> {
    using _ = this.#uploading(repository);
    const ingest = await this.#context.content.ingest(ref);
    try {
      await this.#write(ingest, pieces);
    } catch (error) {
      await ingest.suspend();
      throw error;
    }
    await ingest.commit({ digest, mediaType: "application/octet-stream" }, this.#lease(repository));
  }

  /** Drops an upload. */
  async drop(ref: string): Promise<void> {
    await (await this.#context.content.ingest(ref)).abort();
  }

  /** Stores a manifest or index; with a tag it becomes an image of that name, of as many platforms as are here. Throws `invalid` where none is, or for what no tag can be. */
  async putManifest(repository: Repository, reference: string, bytes: Uint8Array, mediaType: string): Promise<Digest> {
    const { content } = this.#context;
    const digest = digestOf(bytes);
    if (!(isIndex(mediaType) || isManifest(mediaType)) || (reference.includes(":") && reference !== digest))
      throw new LighterError("invalid", `Cannot take a manifest as ${reference}: it is "${mediaType}" with the digest ${digest}`);
    // A name that cannot be read again would spoil every list of images.
    if (!reference.includes(":")) parseReference(formatReference({ ...repository, tag: reference }));
    await content.writeBlob(bytes, mediaType, this.#lease(repository));
    if (!reference.includes(":")) await this.#name({ ...repository, tag: reference }, { mediaType, digest, size: bytes.length });
    return digest;
  }

  async #name(name: Reference, target: Descriptor): Promise<void> {
    const { state, content, changed } = this.#context;
    const image = await gather(content, target, []);
    const runs = image === undefined ? undefined : bestFor(image.manifests);
    if (image === undefined || runs === undefined)
      throw new LighterError("invalid", `Cannot take ${familiarReference(name)}: its layers or its configuration are not here`);
    state.write(
      (tx) => {
        recordImage(tx, content, image);
        putName(tx, name, target.digest);
        imageEvent(tx, "load", target.digest, familiarReference(name), runs.config);
        tx.afterCommit(changed);
      },
      { durable: true },
    );
    this.#lease(name, AFTERWARDS);
    const lease = content.lease(`unpack ${familiarReference(name)}`);
    lease.addBlob(target.digest);
    // Who pushed need not wait for it; a run that comes before its end waits for the same work.
    void unpackAll(content, lease, runs, undefined)
      .catch((error: unknown) => {
        if (kindOf(error) !== "not-found")
          logOf("images").warn("{name} cannot be unpacked: {why}", { name: familiarReference(name), why: messageOf(error) });
      })
      .finally(() => lease.release());
  }

  /** Writes what comes to an upload. Throws `unavailable` when nothing comes for a while. */
  async #write(ingest: Ingest, pieces: ReadableStream<Uint8Array>): Promise<void> {
    const { stall = STALL } = this.#context;
    const reader = pieces.getReader();
    try {
      for (let piece = await readOrStall(reader, stall); piece !== undefined; piece = await readOrStall(reader, stall))
        await ingest.write(piece);
    } finally {
      reader.cancel().catch(() => undefined);
    }
  }

  /** Keeps what is added to it until no upload for the repository runs, and nothing more came for it for so many milliseconds. */
  #lease(repository: Repository, patience = this.#context.patience ?? PATIENCE): Lease {
    return this.#keep(repository, patience).lease;
  }

  #keep(repository: Repository, patience: number): Kept {
    const key = keyOf(repository);
    const kept = this.#kept.get(key) ?? { lease: this.#context.content.lease(`exchange ${key}`), uploads: 0, timer: undefined };
    this.#kept.set(key, kept);
    clearTimeout(kept.timer);
    // The end of an upload sets the clock anew.
    if (kept.uploads > 0 || this.#closed) return kept;
    kept.timer = setTimeout(() => {
      this.#kept.delete(key);
      kept.lease.release();
    }, patience);
    kept.timer.unref();
    return kept;
  }

  /** While an upload runs nothing of its repository is let go, however long it takes. */
  #uploading(repository: Repository): Disposable {
    const patience = this.#context.patience ?? PATIENCE;
    const kept = this.#keep(repository, patience);
    kept.uploads++;
    clearTimeout(kept.timer);
    return {
      [Symbol.dispose]: () => {
        kept.uploads--;
        if (this.#kept.get(keyOf(repository)) === kept) this.#keep(repository, patience);
      },
    };
  }

  /** Ends what waits. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#kept.values()) clearTimeout(timer);
    this.#kept.clear();
  }
}

function keyOf({ registry, repository }: Repository): string {
  return `${registry}/${repository}`;
}
