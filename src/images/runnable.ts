import { LighterError } from "../base/errors.ts";
import { familiarReference } from "../base/reference.ts";
import type { Content, Lease } from "../content/content.ts";
import { chainIds } from "../oci/digest.ts";
import type { Digest, ImageConfig, Platform } from "../oci/image.ts";
import { formatPlatform, hostPlatform, parsePlatform, platformDistance } from "../oci/platform.ts";
import type { State } from "../state/state.ts";
import type { Documents } from "./documents.ts";
import { findImage, type Found } from "./find.ts";
import type { RunnableImage } from "./images.ts";
import { platformOf } from "./record.ts";
import { manifestsOf, type ManifestRow } from "./rows.ts";

/** What choosing needs. */
export interface RunnableContext {
  state: State;
  content: Content;
  documents: Documents;
}

/** Finds an image and one of its platforms, and unpacks what is not unpacked yet. */
export async function findRunnable(
  { state, content, documents }: RunnableContext,
  reference: string,
  options: { platform?: string; signal?: AbortSignal },
): Promise<RunnableImage> {
  const found = findImage(state, reference);
  const row = choosePlatform(state, found, options.platform, reference);
  const config = await documents.config(row.config);
  const chainId = row.chain_id === "" ? undefined : row.chain_id;
  if (chainId !== undefined && content.layer(chainId) === undefined) {
    using lease = content.lease(`unpack ${reference}`);
    lease.addBlob(found.image.id);
    // It may have been removed while its configuration was read.
    findImage(state, reference);
    await unpackAll({ content, documents, lease }, row, config, options.signal);
  }
  return {
    id: found.image.id,
    manifest: row.manifest,
    config,
    configDigest: row.config,
    platform: platformOf(config),
    chainId,
    layers: chainId === undefined ? [] : content.layerStack(chainId).map((layer) => layer.directory),
  };
}

/**
 * The platform of an image to use: the one whose digest was asked for, the one that was named, the host's, or (named none) the only ones there are.
 * Throws `not-found` with Docker's text where a named platform is not here.
 */
export function choosePlatform(state: State, found: Found, platform: string | undefined, reference: string): ManifestRow {
  const rows = manifestsOf(state, found.image.id);
  const asked = platform ? parsePlatform(platform) : undefined;
  const candidates = found.manifest === undefined ? rows : rows.filter((row) => row.manifest === found.manifest);
  const best = bestOf(candidates, asked ?? hostPlatform());
  if (best !== undefined) return best;
  const first = candidates[0];
  if (asked === undefined && first !== undefined) return first;
  throw notProvided(found, asked, reference);
}

function bestOf(rows: ManifestRow[], wanted: Platform): ManifestRow | undefined {
  let best: { row: ManifestRow; distance: number } | undefined;
  for (const row of rows) {
    const distance = platformDistance(wanted, platformFrom(row.platform));
    if (distance !== undefined && (best === undefined || distance < best.distance)) best = { row, distance };
  }
  return best?.row;
}

/** The platform that a column holds. */
export function platformFrom(text: string): Platform {
  const [os = "", architecture = "", variant] = text.split("/");
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

function notProvided(found: Found, asked: Platform | undefined, reference: string): LighterError {
  const name = found.name === undefined ? reference : familiarReference(found.name);
  const wanted = formatPlatform(asked ?? hostPlatform());
  return new LighterError("not-found", `image with reference ${name} was found but does not provide the specified platform (${wanted})`);
}

/** Unpacks the layers of a platform whose blobs are here. */
async function unpackAll(
  { content, documents, lease }: { content: Content; documents: Documents; lease: Lease },
  row: ManifestRow,
  config: ImageConfig,
  signal: AbortSignal | undefined,
): Promise<void> {
  const manifest = await documents.manifest(row.manifest);
  const chain = chainIds(config.rootfs.diff_ids);
  const work = manifest.layers.map((layer, index) => {
    const chainId = chain[index] as Digest;
    const source = { blob: layer.digest };
    const diffId = config.rootfs.diff_ids[index] as Digest;
    const base = { chainId, parent: chain[index - 1], diffId, source, mediaType: layer.mediaType, lease };
    return content.unpack(signal === undefined ? base : { ...base, signal });
  });
  await Promise.all(work);
}
