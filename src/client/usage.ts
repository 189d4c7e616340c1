import type { BuildCache, ContainerSummary, ImageSummary, SystemDataUsageResponse, Volume } from "../wire/engine-api.ts";
import type { Connection } from "./connection.ts";
import type { Filters } from "./filters.ts";

/** Objects of one kind, and what they take of the disk in bytes. */
export interface KindUsage<Item> {
  total: number;
  active: number;
  size: number;
  reclaimable: number;
  /** Only when asked for. */
  items: Item[];
}

/** What takes how much of the daemon's disk. */
export interface DiskUsage {
  images: KindUsage<ImageSummary>;
  containers: KindUsage<ContainerSummary>;
  volumes: KindUsage<Volume>;
  buildCache: KindUsage<BuildCache>;
}

/** The answer of a daemon before API 1.52. */
interface OldUsage {
  LayersSize?: number;
  Images?: ImageSummary[] | null;
  Containers?: ContainerSummary[] | null;
  Volumes?: Volume[] | null;
  BuildCache?: BuildCache[] | null;
}

type NewKind = NonNullable<SystemDataUsageResponse["ImageUsage"]>;

/** Asks what takes how much of the disk; with `verbose` for every object, too. */
export async function diskUsage(connection: Connection, options: { verbose: boolean }): Promise<DiskUsage> {
  const query = { verbose: options.verbose || undefined };
  const answer = await connection.json<SystemDataUsageResponse & OldUsage>("GET", "/system/df", { query });
  if (answer.ImageUsage === undefined && answer.LayersSize !== undefined) return fromOld(answer);
  return {
    images: fromNew<ImageSummary>(answer.ImageUsage),
    containers: fromNew<ContainerSummary>(answer.ContainerUsage),
    volumes: fromNew<Volume>(answer.VolumeUsage),
    buildCache: fromNew<BuildCache>(answer.BuildCacheUsage),
  };
}

function fromNew<Item>(kind: NewKind | undefined): KindUsage<Item> {
  return {
    total: kind?.TotalCount ?? 0,
    active: kind?.ActiveCount ?? 0,
    size: kind?.TotalSize ?? 0,
    reclaimable: kind?.Reclaimable ?? 0,
    items: (kind?.Items ?? []) as Item[],
  };
}

function fromOld(answer: OldUsage): DiskUsage {
  const images = answer.Images ?? [];
  const kept = images.filter((image) => image.Containers !== 0).map((image) => image.Size - Math.max(0, image.SharedSize));
  const layers = answer.LayersSize ?? 0;
  const isActive = ({ State }: ContainerSummary): boolean => State === "running" || State === "paused" || State === "restarting";
  return {
    images: {
      total: images.length,
      active: images.filter((image) => image.Containers > 0).length,
      size: layers,
      reclaimable: Math.max(0, layers - sum(kept)),
      items: images,
    },
    containers: kindOf(answer.Containers ?? [], (one) => one.SizeRw ?? 0, isActive),
    volumes: kindOf(
      answer.Volumes ?? [],
      (one) => Math.max(0, one.UsageData?.Size ?? 0),
      (one) => (one.UsageData?.RefCount ?? 0) > 0,
    ),
    buildCache: kindOf(
      answer.BuildCache ?? [],
      (one) => (one.Shared ? 0 : (one.Size ?? 0)),
      (one) => one.InUse ?? false,
    ),
  };
}

function kindOf<Item>(items: Item[], sizeOf: (item: Item) => number, isActive: (item: Item) => boolean): KindUsage<Item> {
  const idle = items.filter((item) => !isActive(item));
  return {
    total: items.length,
    active: items.length - idle.length,
    size: sum(items.map(sizeOf)),
    reclaimable: sum(idle.map(sizeOf)),
    items,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Removes what builders keep. */
export function pruneBuildCache(
  connection: Connection,
  options: { all: boolean; filters?: Filters },
): Promise<{ CachesDeleted?: string[] | null; SpaceReclaimed?: number }> {
  return connection.json("POST", "/build/prune", { query: { all: options.all || undefined, filters: options.filters } });
}
