import { messageOf, LighterError } from "../base/errors.ts";
import { formatBytes, humanDuration } from "../base/units.ts";
import { type DiskUsage, diskUsage, type KindUsage } from "../client/usage.ts";
import type { BuildCache, ContainerSummary, ImageSummary, Volume } from "../wire/engine-api.ts";
import { command } from "./command.ts";
import { containerListing } from "./container-columns.ts";
import { bool, string } from "./flags.ts";
import { type Listing, renderListing, rowJson } from "./format.ts";
import { imageListing, type ImageRow, imageRows } from "./image-columns.ts";

/** `system df`: shows what takes how much of the daemon's disk. */
export const systemDf = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    format: string("How to show it: 'table', 'table TEMPLATE', 'json', or a Go template"),
    verbose: bool("Show every object", "v"),
  },
  async run({ flags, app }) {
    const usage = await diskUsage(await app.connection(), { verbose: flags.verbose });
    if (!flags.verbose) return app.out(await renderListing(KINDS, kindRows(usage), flags.format, false));
    if (flags.format === "" || flags.format === "table") return app.out(await everyObject(usage));
    app.out(await formatted(usage, flags.format));
  },
});

/** A line of the short table. */
interface KindRow extends KindUsage<unknown> {
  type: string;
  /** How much of it could go, as a share, too. */
  share: boolean;
}

function kindRows({ images, containers, volumes, buildCache }: DiskUsage): KindRow[] {
  return [
    { ...images, type: "Images", share: true },
    { ...containers, type: "Containers", share: true },
    { ...volumes, type: "Local Volumes", share: true },
    { ...buildCache, type: "Build Cache", share: false },
  ];
}

const KINDS: Listing<KindRow> = {
  shown: ["Type", "TotalCount", "Active", "Size", "Reclaimable"],
  quiet: "Type",
  type: "diskUsageContext",
  columns: {
    Type: { heading: "TYPE", of: ({ type }) => type },
    TotalCount: { heading: "TOTAL", of: ({ total }) => String(total) },
    Active: { heading: "ACTIVE", of: ({ active }) => String(active) },
    Size: { heading: "SIZE", of: ({ size }) => formatBytes(size) },
    Reclaimable: {
      heading: "RECLAIMABLE",
      of: ({ reclaimable, size, share }) =>
        `${formatBytes(reclaimable)}${share && size > 0 ? ` (${Math.trunc((reclaimable * 100) / size)}%)` : ""}`,
    },
  },
};

const VOLUMES: Listing<Volume> = {
  shown: ["Name", "Links", "Size"],
  quiet: "Name",
  type: "volumeContext",
  columns: {
    Name: { heading: "VOLUME NAME", of: ({ Name }) => Name },
    Driver: { heading: "DRIVER", of: ({ Driver }) => Driver },
    Mountpoint: { heading: "MOUNTPOINT", of: ({ Mountpoint }) => Mountpoint },
    Links: { heading: "LINKS", of: ({ UsageData }) => (UsageData ? String(UsageData.RefCount) : "N/A") },
    Size: { heading: "SIZE", of: ({ UsageData }) => (UsageData ? formatBytes(UsageData.Size, 4) : "N/A") },
  },
};

function cacheListing(now: number): Listing<BuildCache> {
  const ago = (time: string | null | undefined): string => (time ? `${humanDuration((now - Date.parse(time)) / 1000)} ago` : "");
  return {
    shown: ["ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"],
    quiet: "ID",
    type: "buildCacheContext",
    columns: {
      ID: { heading: "CACHE ID", of: ({ ID = "", InUse }) => `${ID.slice(0, 12)}${InUse ? "*" : ""}` },
      CacheType: { heading: "CACHE TYPE", of: ({ Type }) => Type ?? "" },
      Size: { heading: "SIZE", of: ({ Size }) => formatBytes(Size ?? 0, 3) },
      CreatedSince: { heading: "CREATED", of: ({ CreatedAt }) => ago(CreatedAt) },
      LastUsedSince: { heading: "LAST USED", of: ({ LastUsedAt }) => ago(LastUsedAt) },
      UsageCount: { heading: "USAGE", of: ({ UsageCount }) => String(UsageCount ?? 0) },
      Shared: { heading: "SHARED", of: ({ Shared }) => String(Shared ?? false) },
    },
  };
}

/** An image is one line here, under its first name. */
function imageLines(images: readonly ImageSummary[]): ImageRow[] {
  return images.flatMap((image) => imageRows([image], false).slice(0, 1));
}

/** Only what they wrote counts here, not the image below. */
function ownSize(containers: readonly ContainerSummary[]): ContainerSummary[] {
  return containers.map((one) => ({ ...one, SizeRootFs: 0 }));
}

async function everyObject({ images, containers, volumes, buildCache }: DiskUsage): Promise<string> {
  const now = Date.now();
  const imageTable = imageListing({ noTrunc: false, digests: false, now });
  imageTable.shown = ["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"];
  const containerTable = containerListing({ noTrunc: false, size: true, now });
  containerTable.shown = ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];
  const parts = [
    "Images space usage:\n",
    await renderListing(imageTable, imageLines(images.items), "", false),
    "Containers space usage:\n",
    await renderListing(containerTable, ownSize(containers.items), "", false),
    "Local Volumes space usage:\n",
    await renderListing(VOLUMES, volumes.items, "", false),
    `Build cache usage: ${formatBytes(buildCache.size)}\n`,
    await renderListing(cacheListing(now), buildCache.items, "", false),
  ];
  return parts.join("\n");
}

/** All objects as one value: `json`, or a template over `.Images`, `.Containers`, `.Volumes` and `.BuildCache`. */
async function formatted({ images, containers, volumes, buildCache }: DiskUsage, format: string): Promise<string> {
  const now = Date.now();
  const rows = <Row>({ columns }: Listing<Row>, items: readonly Row[]): unknown[] =>
    items.map((item) => JSON.parse(rowJson(columns, item)) as unknown);
  const all = {
    Images: rows(imageListing({ noTrunc: true, digests: false, now }), imageLines(images.items)),
    Containers: rows(containerListing({ noTrunc: true, size: true, now }), ownSize(containers.items)),
    Volumes: rows(VOLUMES, volumes.items),
    BuildCache: rows(cacheListing(now), buildCache.items),
  };
  if (format === "json") return `${JSON.stringify(all)}\n`;
  const { compileTemplate } = await import("./template.ts");
  const source = format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  try {
    const missing = (field: string): string => `can't evaluate field ${field} in type *formatter.diskUsageContext`;
    return `${compileTemplate(source, { missing })(all)}\n`;
  } catch (error) {
    throw new LighterError("invalid", messageOf(error), { cause: error });
  }
}
