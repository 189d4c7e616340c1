import type { Containers } from "../containers/containers.ts";
import { join } from "node:path";
import type { Content } from "../content/content.ts";
import { treeSize } from "../content/trees.ts";
import type { Images } from "../images/images.ts";
import type { Volumes } from "../volumes/volumes.ts";
import type { SystemDataUsageResponse } from "../wire/engine-api.ts";

/** What `system df` adds up. */
export interface UsageSources {
  containers: Containers;
  images: Images;
  volumes: Volumes;
  content: Content;
  dataRoot: string;
}

/** Which objects `system df` was asked for. */
export interface UsageQuery {
  types?: ("container" | "image" | "volume" | "build-cache")[];
  verbose: boolean;
}

/** Bytes on disk by kind of object, and how much of it a prune would free. */
export async function diskUsage(sources: UsageSources, query: UsageQuery): Promise<SystemDataUsageResponse> {
  const wants = (type: NonNullable<UsageQuery["types"]>[number]): boolean => query.types === undefined || query.types.includes(type);
  const items = (list: unknown[]): { Items?: unknown[] } => (query.verbose ? { Items: list } : {});
  const answer: SystemDataUsageResponse = {};
  const containers = await sources.containers.list({ all: true, size: wants("container"), filters: new Map() });
  if (wants("image")) {
    const images = await sources.images.list({ filters: new Map(), sharedSize: query.verbose });
    const users = Map.groupBy(containers, (container) => container.ImageID);
    for (const image of images) image.Containers = users.get(image.Id)?.length ?? 0;
    const { blobs, layers, partial } = sources.content.usage();
    answer.ImageUsage = {
      ActiveCount: images.filter((image) => image.Containers > 0).length,
      TotalCount: images.length,
      TotalSize: blobs + layers + partial,
      Reclaimable: await sources.content.reclaimable(),
      ...items(images),
    };
  }
  if (wants("container")) {
    const stopped = containers.filter(({ State }) => State !== "running" && State !== "paused" && State !== "restarting");
    // All that goes with them: logs and what is mounted over their files, too.
    const sizeOf = async ({ Id }: { Id?: string }): Promise<number> =>
      (await treeSize(join(sources.dataRoot, "containers", Id ?? ""))).bytes;
    const sizes = new Map(await Promise.all(containers.map(async (each) => [each, await sizeOf(each)] as const)));
    answer.ContainerUsage = {
      ActiveCount: containers.length - stopped.length,
      TotalCount: containers.length,
      TotalSize: sum([...sizes.values()]),
      Reclaimable: sum(stopped.map((container) => sizes.get(container) ?? 0)),
      ...items(containers),
    };
  }
  if (wants("volume")) {
    const volumes = await sources.volumes.usage();
    const unused = volumes.filter((volume) => volume.UsageData?.RefCount === 0);
    answer.VolumeUsage = {
      ActiveCount: volumes.length - unused.length,
      TotalCount: volumes.length,
      TotalSize: sum(volumes.map((volume) => volume.UsageData?.Size ?? 0)),
      Reclaimable: sum(unused.map((volume) => volume.UsageData?.Size ?? 0)),
      ...items(volumes),
    };
  }
  if (wants("build-cache")) answer.BuildCacheUsage = { ActiveCount: 0, TotalCount: 0, TotalSize: 0, Reclaimable: 0, ...items([]) };
  return answer;
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
