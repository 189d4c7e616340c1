import { LighterError } from "../base/errors.ts";
import { familiarReference, type Reference } from "../base/reference.ts";
import type { Content } from "../content/content.ts";
import { isIndex, isManifest, MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { hostPlatform, platformDistance } from "../oci/platform.ts";
import type { State } from "../state/state.ts";
import type { Documents } from "./documents.ts";
import { choosePlatform, platformFrom } from "./runnable.ts";
import { manifestsOf, type ImageRow, type ManifestRow } from "./rows.ts";

/** What choosing needs. */
export interface TargetContext {
  state: State;
  content: Content;
  documents: Documents;
}

/** What a push sends: the image, or one platform in its place where others are not here. */
export interface PushTarget {
  target: Descriptor;
  insteadOf?: Descriptor;
}

/** The platform asked for; else the whole image where all of it is here; else the one platform that is. Throws `conflict` where that could be several. */
export async function choosePushTarget(
  context: TargetContext,
  image: ImageRow,
  name: Reference,
  platform: string | undefined,
): Promise<PushTarget> {
  const { state, content } = context;
  const choose = (asked: string): ManifestRow => choosePlatform(state, { image, name }, asked, familiarReference(name));
  const whole: Descriptor = { mediaType: image.media_type, digest: image.id, size: content.blob(image.id)?.size ?? 0 };
  if (!isIndex(image.media_type)) {
    if (platform) choose(platform);
    return { target: whole };
  }
  if (platform) return { target: await describe(context, choose(platform)) };
  if (await isComplete(context, image.id)) return { target: whole };
  return { target: await describe(context, onlyOne(manifestsOf(state, image.id))), insteadOf: whole };
}

function onlyOne(rows: ManifestRow[]): ManifestRow {
  const distance = (row: ManifestRow): number => platformDistance(hostPlatform(), platformFrom(row.platform)) ?? Number.POSITIVE_INFINITY;
  const best = rows.toSorted((a, b) => distance(a) - distance(b))[0];
  if (best !== undefined && (rows.length === 1 || Number.isFinite(distance(best)))) return best;
  throw new LighterError("conflict", "multiple matching manifests found but no specific platform requested");
}

async function describe({ content, documents }: TargetContext, row: ManifestRow): Promise<Descriptor> {
  const { mediaType = MEDIA.ociManifest } = await documents.manifest(row.manifest);
  return { mediaType, digest: row.manifest, size: content.blob(row.manifest)?.size ?? 0 };
}

async function isComplete(context: TargetContext, id: Digest): Promise<boolean> {
  const { content, documents } = context;
  for (const each of (await documents.index(id)).manifests) {
    if (content.blob(each.digest) === undefined) return false;
    if (isIndex(each.mediaType) && !(await isComplete(context, each.digest))) return false;
    if (!isManifest(each.mediaType) || isIndex(each.mediaType)) continue;
    const manifest = await documents.manifest(each.digest);
    if ([manifest.config, ...manifest.layers].some((part) => content.blob(part.digest) === undefined && !part.urls?.length)) return false;
  }
  return true;
}
