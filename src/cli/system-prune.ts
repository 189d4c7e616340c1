import { LighterError } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";
import type { Connection } from "../client/connection.ts";
import { pruneContainers } from "../client/containers.ts";
import { type Filters, parseFilters } from "../client/filters.ts";
import { pruneImages } from "../client/images.ts";
import { pruneNetworks } from "../client/networks.ts";
import { pruneBuildCache } from "../client/usage.ts";
import { pruneVolumes } from "../client/volumes.ts";
import { command } from "./command.ts";
import { bool } from "./flags.ts";
import { PRUNE_FLAGS } from "./prune-flags.ts";
import { confirm } from "./prompt.ts";

/** `system prune`: removes whatever nothing uses. */
export const systemPrune = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    ...PRUNE_FLAGS,
    all: bool("Remove every image that no container uses, not just those without a name", "a"),
    volumes: bool("Remove anonymous volumes, too"),
  },
  async run({ flags, app }) {
    const filters = parseFilters(flags.filter) ?? {};
    if (flags.volumes && "until" in filters)
      throw new LighterError("invalid", 'ERROR: The "until" filter is not supported with "--volumes"');
    if (!flags.force && !(await confirm(app, warning(flags)))) return;
    let reclaimed = 0;
    for (const step of stepsOf(flags)) {
      const { title, lines, bytes } = await step(await app.connection(), filters);
      if (lines.length > 0) app.out(`${title}:\n${lines.map((line) => `${line}\n`).join("")}\n`);
      reclaimed += bytes;
    }
    app.out(`Total reclaimed space: ${formatBytes(reclaimed)}\n`);
  },
});

interface Wishes {
  all: boolean;
  volumes: boolean;
  filter: readonly string[];
}

/** What will go, in Docker's words; `confirm` adds the question. */
function warning({ all, volumes, filter }: Wishes): string {
  const what = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(volumes ? ["all anonymous volumes not used by at least one container"] : []),
    all ? "all images without at least one container associated to them" : "all dangling images",
    all ? "all build cache" : "unused build cache",
  ];
  const items = (list: readonly string[]): string => list.map((one) => `  - ${one}\n`).join("");
  const filtered = filter.length === 0 ? "" : `\n  Items to be pruned will be filtered with:\n${items([...filter].sort())}`;
  return `WARNING! This will remove:\n${items(what)}${filtered}`;
}

type Step = (connection: Connection, filters: Filters) => Promise<{ title: string; lines: readonly string[]; bytes: number }>;

function stepsOf({ all, volumes }: Wishes): Step[] {
  return [
    pruneStopped,
    pruneUnusedNetworks,
    ...(volumes ? [pruneAnonymous] : []),
    (...given) => pruneUnused(all, ...given),
    (...given) => pruneCache(all, ...given),
  ];
}

const pruneStopped: Step = async (connection, filters) => {
  const { ContainersDeleted, SpaceReclaimed } = await pruneContainers(connection, filters);
  return { title: "Deleted Containers", lines: ContainersDeleted ?? [], bytes: SpaceReclaimed ?? 0 };
};

const pruneUnusedNetworks: Step = async (connection, filters) => {
  const { NetworksDeleted } = await pruneNetworks(connection, filters);
  return { title: "Deleted Networks", lines: NetworksDeleted ?? [], bytes: 0 };
};

const pruneAnonymous: Step = async (connection, filters) => {
  const { VolumesDeleted, SpaceReclaimed } = await pruneVolumes(connection, filters);
  return { title: "Deleted Volumes", lines: VolumesDeleted ?? [], bytes: SpaceReclaimed ?? 0 };
};

async function pruneUnused(all: boolean, ...[connection, filters]: Parameters<Step>): ReturnType<Step> {
  const { ImagesDeleted, SpaceReclaimed } = await pruneImages(connection, { ...filters, dangling: [String(!all)] });
  const lines = (ImagesDeleted ?? []).map(({ Untagged, Deleted }) => (Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`));
  return { title: "Deleted Images", lines, bytes: SpaceReclaimed ?? 0 };
}

/** What builders keep has no labels: only its age can be asked for. */
async function pruneCache(all: boolean, ...[connection, { until }]: Parameters<Step>): ReturnType<Step> {
  const { CachesDeleted, SpaceReclaimed } = await pruneBuildCache(connection, { all, ...(until !== undefined && { filters: { until } }) });
  return { title: "Deleted build cache objects", lines: CachesDeleted ?? [], bytes: SpaceReclaimed ?? 0 };
}
