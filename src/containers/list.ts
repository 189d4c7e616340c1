import { now, toSeconds } from "../base/clock.ts";
import { restingReader } from "../state/remember.ts";
import type { ContainerSummary } from "../wire/engine-api.ts";
import { type Filters, filterValues } from "../wire/filters.ts";
import { type Context, find } from "./context.ts";
import { commandOf } from "./desired.ts";
import { linkNames } from "./link-rows.ts";
import { checkFilters, matchRow, matchSummary } from "./list-filters.ts";
import { mountPoints } from "./mount-points.ts";
import type { ContainerNetworks } from "./needs.ts";
import { networkRequest } from "./network-request.ts";
import { portList } from "./port-list.ts";
import { allRows, type ContainerRow } from "./rows.ts";
import { sizesOf } from "./size.ts";
import { apiStatus, statusText } from "./status-text.ts";

/** See `Containers.list`: straight from the rows, newest first; no lock is ever waited for. */
export async function listContainers(
  context: Context,
  options: { all: boolean; limit?: number; size: boolean; filters: Filters },
): Promise<ContainerSummary[]> {
  const { filters } = options;
  checkFilters(filters);
  const limit = options.limit !== undefined && options.limit > 0 ? options.limit : Infinity;
  const everything = options.all || limit !== Infinity || filters.has("status");
  const ancestor = await ancestorTest(context, filters);
  const span = spanOf(context, filters);
  const found: { row: ContainerRow; summary: ContainerSummary }[] = [];
  const summaries = context.needs.networks.summaries();
  const reader = restingReader(context.needs.state);
  const linked = linkNames(reader);
  for (const row of allRows(reader)) {
    if (found.length >= limit) break;
    if (!everything && !["running", "paused", "restarting"].includes(apiStatus(row))) continue;
    if (row.created >= span.before || row.created <= span.since || !matchRow(row, filters) || !ancestor(row)) continue;
    const summary = summaryOf(context, row, summaries(row.id, networkRequest(row)), linked.get(row.id) ?? []);
    if (matchSummary(summary, filters)) found.push({ row, summary });
  }
  if (!options.size) return found.map(({ summary }) => summary);
  return Promise.all(found.map(async ({ row, summary }) => ({ ...summary, ...(await sizesOf(context, row)) })));
}

function summaryOf(
  context: Context,
  row: ContainerRow,
  settings: ReturnType<ReturnType<ContainerNetworks["summaries"]>>,
  linked: readonly string[],
): ContainerSummary {
  const { config, hostConfig } = row.desired;
  const { images } = context.needs;
  const descriptor = images.descriptor(row.manifest);
  return {
    Id: row.id,
    Names: [`/${row.name}`, ...linked],
    Image: images.displayName(config.Image ?? "", row.image),
    ImageID: row.image,
    ...(descriptor === undefined
      ? {}
      : { ImageManifestDescriptor: descriptor as NonNullable<ContainerSummary["ImageManifestDescriptor"]> }),
    Command: commandOf(config)
      .map((word, index) => (index > 0 && word.includes(" ") ? `'${word}'` : word))
      .join(" "),
    Created: toSeconds(row.created),
    Ports: portList(settings.ports),
    Labels: config.Labels ?? {},
    State: apiStatus(row),
    Status: statusText(row, now()),
    HostConfig: {
      NetworkMode: hostConfig.NetworkMode ?? "bridge",
      ...(hostConfig.Annotations ? { Annotations: hostConfig.Annotations } : {}),
    },
    NetworkSettings: { Networks: settings.networks },
    Mounts: mountPoints(context, row),
    Health: {
      Status: (row.health?.Status ?? "none") as "none",
      FailingStreak: row.health?.FailingStreak ?? 0,
    },
  };
}

/** `before` and `since` name containers: only what was made in between passes. */
function spanOf(context: Context, filters: Filters): { before: bigint; since: bigint } {
  const times = (key: string): bigint[] => (filterValues(filters, key) ?? []).map((reference) => find(context, reference).created);
  const least = times("before").reduce<bigint | undefined>((a, b) => (a === undefined || b < a ? b : a), undefined);
  const most = times("since").reduce<bigint | undefined>((a, b) => (a === undefined || b > a ? b : a), undefined);
  return { before: least ?? 2n ** 62n, since: most ?? -1n };
}

/** `ancestor` names images: a container of the image itself, or of one that stands on its layers. */
async function ancestorTest(context: Context, filters: Filters): Promise<(row: ContainerRow) => boolean> {
  const values = filterValues(filters, "ancestor");
  if (values === undefined) return () => true;
  const images = await Promise.all(values.map((value) => context.needs.images.runnable(value).catch(() => undefined)));
  return (row) => {
    const layers = new Set<string>(
      row.chainId === undefined ? [] : context.needs.content.layerStack(row.chainId).map(({ chainId }) => chainId),
    );
    return (
      values.includes(row.desired.config.Image ?? "") ||
      images.some((image) => image !== undefined && (image.id === row.image || (image.chainId !== undefined && layers.has(image.chainId))))
    );
  };
}
