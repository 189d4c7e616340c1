import { toRfc3339Nano, toSeconds, fromRfc3339 } from "../base/clock.ts";
import type { HistoryEntry, RunConfig } from "../oci/image.ts";
import type { ImageHistoryResponseItem, ImageInspect, ImageConfig as WireConfig } from "../wire/engine-api.ts";
import { repoDigests, repoTags, summarizeManifests, targetOf, totalSize, type DescribeContext } from "./describe.ts";
import { findImage } from "./find.ts";
import { identityOf } from "./identity.ts";
import { createdOf } from "./list.ts";
import { choosePlatform } from "./runnable.ts";
import { manifestsOf, namesOf, stackOf } from "./rows.ts";

/** All about an image and the platform of it that would run (or the one named), in Docker's shape. */
export async function inspectImage(
  context: DescribeContext,
  reference: string,
  options: { platform?: string; manifests?: boolean },
): Promise<ImageInspect> {
  const { state, content, documents } = context;
  const found = findImage(state, reference);
  const { image } = found;
  const row = choosePlatform(state, found, options.platform, reference);
  const config = await documents.config(row.config);
  const names = namesOf(state, image.id);
  const identity = identityOf(state, image.id);
  const comment = config.history?.at(-1)?.comment;
  const created = createdOf(config);
  const tagged = names.map((name) => BigInt(name.created)).reduce((last, time) => (time > last ? time : last), 0n);
  return {
    Id: image.id,
    RepoTags: repoTags(names),
    RepoDigests: repoDigests(names, image.id),
    ...(comment ? { Comment: comment } : {}),
    ...(created === undefined ? {} : { Created: toRfc3339Nano(created) }),
    ...(config.author ? { Author: config.author } : {}),
    Config: wireConfig(config.config ?? {}),
    Architecture: config.architecture,
    ...(config.variant ? { Variant: config.variant } : {}),
    Os: config.os,
    ...(config["os.version"] ? { OsVersion: config["os.version"] } : {}),
    Size: totalSize(state, image, manifestsOf(state, image.id)),
    RootFS: { Type: "layers", ...(config.rootfs.diff_ids.length === 0 ? {} : { Layers: config.rootfs.diff_ids }) },
    Metadata: { LastTagTime: toRfc3339Nano(tagged) },
    Descriptor: targetOf(content, image),
    ...(identity === undefined ? {} : { Identity: identity }),
    ...(options.manifests === true ? { Manifests: await summarizeManifests(context, image) } : {}),
  };
}

/** An image's run configuration in the shape of the API: what is null or unset is left out. */
function wireConfig(config: RunConfig): WireConfig {
  const entries = Object.entries(config).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(entries) as WireConfig;
}

/** What Docker shows for a step that is no image of its own. */
const NO_TAGS = null as unknown as string[];

/** How an image came about, newest step first; the topmost one carries the image's id and names. */
export async function imageHistory(context: DescribeContext, reference: string, platform?: string): Promise<ImageHistoryResponseItem[]> {
  const { state, documents } = context;
  const found = findImage(state, reference);
  const row = choosePlatform(state, found, platform, reference);
  const config = await documents.config(row.config);
  const sizes = stackOf(state, row.chain_id).map((layer) => layer.size);
  const steps: HistoryEntry[] = config.history ?? config.rootfs.diff_ids.map(() => ({}));
  const items = steps.toReversed().map((step): ImageHistoryResponseItem => {
    const created = step.created === undefined ? undefined : fromRfc3339(step.created);
    return {
      Id: "<missing>",
      Created: created === undefined ? 0 : toSeconds(created),
      CreatedBy: step.created_by ?? "",
      Tags: NO_TAGS,
      Size: step.empty_layer === true ? 0 : (sizes.shift() ?? 0),
      Comment: step.comment ?? "",
    };
  });
  const top = items[0];
  if (top !== undefined) items[0] = { ...top, Id: found.image.id, Tags: repoTags(namesOf(state, found.image.id)) };
  return items;
}
