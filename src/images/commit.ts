import { now, toRfc3339Nano } from "../base/clock.ts";
import { kindOf, LighterError } from "../base/errors.ts";
import { familiarReference, type Reference } from "../base/reference.ts";
import type { Blob, Content, Lease } from "../content/content.ts";
import { MEDIA, type Descriptor, type Digest, type ImageConfig, type RunConfig } from "../oci/image.ts";
import type { State, Tx } from "../state/state.ts";
import { chainIds } from "../oci/digest.ts";
import { applyChanges } from "./changes.ts";
import type { Documents } from "./documents.ts";
import { MOST_LAYERS } from "./fetch-image.ts";
import { imageEvent } from "./image-events.ts";
import type { Images } from "./images.ts";
import { storeDocuments } from "./import.ts";
import { putName } from "./rows.ts";
import { targetReference } from "./tag.ts";

/** What a new image is made of. */
export interface CommitOptions {
  /** Digest of the manifest below; its content must be here. */
  base: Digest;
  /** The layer on top: an overlay's upper directory without some paths in it, or of a whole root what was changed. Undefined for none: the history has an entry all the same. */
  layer: { directory: string; except: readonly string[]; whole?: { lower: readonly string[]; mountPoints: readonly string[] } } | undefined;
  /** The run configuration, given the changes that were asked for. */
  config(changed: (from: RunConfig) => RunConfig): RunConfig;
  /** Dockerfile instructions. */
  changes: readonly string[];
  author: string;
  comment: string;
  /** What the history says that made the layer. */
  createdBy: string;
  name?: { repository: string; tag?: string };
  /** Called in the transaction that stores the image. */
  recorded?(tx: Tx, image: { id: Digest; name: string }): void;
  signal?: AbortSignal;
}

interface CommitContext {
  state: State;
  content: Content;
  documents: Documents;
  record: Images["record"];
}

/** Makes an image of another one and a directory of changes. Its layer is packed once and for all: saves and pushes send those bytes. */
export async function commitImage(context: CommitContext, options: CommitOptions): Promise<Digest> {
  const { state, content } = context;
  const reference = options.name && targetReference(options.name);
  const run = options.config((from) => applyChanges(from, options.changes));
  using lease = content.lease("commit");
  const base = await baseOf(context, options.base, lease);
  if (options.layer !== undefined && base.layers.length >= MOST_LAYERS)
    throw new LighterError(
      "invalid",
      `Cannot make an image on top of ${options.base}: it has ${MOST_LAYERS} layers, and no more can be stacked`,
    );
  const packed = options.layer && (await packOn(content, base.config, options.layer, lease, options.signal));
  if (options.signal?.aborted === true) throw new LighterError("cancelled", "context canceled");
  const config = configOn(base.config, run, options, packed?.diffId);
  const target = await storeDocuments(content, lease, config, ...base.layers, ...(packed ? [packed.blob] : []));
  const { digest } = target.descriptor;
  state.write(
    (tx) => {
      context.record(
        tx,
        { target: target.descriptor, indexes: [], manifests: [{ ...target, config }], attestations: [] },
        reference ? [reference] : [],
      );
      options.recorded?.(tx, { id: digest, name: reference ? familiarReference(reference) : "" });
    },
    { durable: true },
  );
  return digest;
}

/** The documents of the image below, kept by the lease; `not-found` when it was removed while a container still used it. */
async function baseOf({ documents }: CommitContext, digest: Digest, lease: Lease): Promise<{ config: ImageConfig; layers: Blob[] }> {
  lease.addBlob(digest);
  try {
    const manifest = await documents.manifest(digest);
    return { config: await documents.config(manifest.config.digest), layers: manifest.layers.map(asOci) };
  } catch (cause) {
    if (kindOf(cause) !== "not-found") throw cause;
    throw new LighterError("not-found", `Cannot make an image on top of ${digest}: that image was removed`, { cause });
  }
}

/** A layer's descriptor as a manifest of OCI's form names it; the bytes are the same. */
function asOci({ mediaType, digest, size }: Descriptor): Blob {
  const type = mediaType === MEDIA.dockerLayerGzip ? MEDIA.ociLayerGzip : mediaType === MEDIA.dockerLayer ? MEDIA.ociLayer : mediaType;
  return { mediaType: type, digest, size };
}

/** Packs and unpacks the layer, its place in the stack being on top of the base's. */
async function packOn(
  content: Content,
  base: ImageConfig,
  layer: NonNullable<CommitOptions["layer"]>,
  lease: Lease,
  signal: AbortSignal | undefined,
): Promise<{ blob: Blob; diffId: Digest }> {
  const onto = chainIds(base.rootfs.diff_ids).at(-1) ?? null;
  return await content.packDirectory({ ...layer, lease, onto, ...(signal === undefined ? {} : { signal }) });
}

function configOn(base: ImageConfig, config: RunConfig, options: CommitOptions, diffId: Digest | undefined): ImageConfig {
  const created = toRfc3339Nano(now());
  const entry = {
    created,
    created_by: options.createdBy,
    ...(options.author === "" ? {} : { author: options.author }),
    ...(options.comment === "" ? {} : { comment: options.comment }),
    ...(diffId === undefined ? { empty_layer: true } : {}),
  };
  const { author: _, ...rest } = base;
  return {
    ...rest,
    created,
    ...(options.author === "" ? {} : { author: options.author }),
    config,
    rootfs: { type: "layers", diff_ids: [...base.rootfs.diff_ids, ...(diffId === undefined ? [] : [diffId])] },
    history: [...(base.history ?? []), entry],
  };
}

/** Gives an image that is being recorded its names, with Docker's events. */
export function nameImage(tx: Tx, id: Digest, names: readonly Reference[], config: ImageConfig | undefined): void {
  for (const name of names) {
    putName(tx, name, id);
    imageEvent(tx, "tag", id, familiarReference(name), config);
  }
}
