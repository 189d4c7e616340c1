import { shortId } from "../base/ids.ts";
import { formatBytes, humanDuration } from "../base/units.ts";
import type { ContainerSummary } from "../wire/engine-api.ts";
import type { Columns, Listing } from "./format.ts";
import { displayPorts } from "./display-ports.ts";
import { ellipsis, labelsText, localTime } from "./text.ts";

export interface ContainerView {
  noTrunc: boolean;
  size: boolean;
  /** Milliseconds since the epoch: what "ago" counts from. */
  now: number;
}

const COMMAND_WIDTH = 20;
const MOUNT_WIDTH = 15;

/** What `ps` can show of a container. */
export function containerListing(view: ContainerView): Listing<ContainerSummary> {
  const columns: Columns<ContainerSummary> = {
    ID: { heading: "CONTAINER ID", of: (row) => (view.noTrunc ? (row.Id ?? "") : shortId(row.Id ?? "")) },
    Names: { heading: "NAMES", of: (row) => names(row, view.noTrunc) },
    Image: { heading: "IMAGE", of: (row) => image(row, view.noTrunc) },
    Command: {
      heading: "COMMAND",
      of: (row) => JSON.stringify(view.noTrunc ? (row.Command ?? "") : ellipsis(row.Command ?? "", COMMAND_WIDTH)),
    },
    CreatedAt: { heading: "CREATED AT", of: (row) => localTime((row.Created ?? 0) * 1000) },
    RunningFor: { heading: "CREATED", of: (row) => `${humanDuration(view.now / 1000 - (row.Created ?? 0))} ago` },
    Ports: { heading: "PORTS", of: (row) => displayPorts(row.Ports ?? []) },
    State: { heading: "STATE", of: (row) => row.State ?? "" },
    Status: { heading: "STATUS", of: (row) => row.Status ?? "" },
    Size: { heading: "SIZE", of: size },
    Labels: { heading: "LABELS", of: (row) => labelsText(row.Labels) },
    Label: { heading: "", of: (row) => (name: unknown) => row.Labels?.[String(name)] ?? "" },
    Mounts: { heading: "MOUNTS", of: (row) => mounts(row, view.noTrunc) },
    LocalVolumes: { heading: "LOCAL VOLUMES", of: (row) => String((row.Mounts ?? []).filter((mount) => mount.Driver === "local").length) },
    Networks: { heading: "NETWORKS", of: (row) => Object.keys(row.NetworkSettings?.Networks ?? {}).join(",") },
    Platform: { heading: "PLATFORM", of: (row) => row.ImageManifestDescriptor?.platform ?? null },
  };
  const shown = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
  return { columns, shown: view.size ? [...shown, "Size"] : shown, quiet: "ID", type: "ContainerContext" };
}

function names(row: ContainerSummary, noTrunc: boolean): string {
  const all = (row.Names ?? []).map((name) => name.replace(/^\//, ""));
  // Names with a slash are the aliases that links make.
  return (noTrunc ? all : all.filter((name) => !name.includes("/"))).join(",");
}

function image(row: ContainerSummary, noTrunc: boolean): string {
  const text = row.Image ?? "";
  if (text === "") return "<no image>";
  if (noTrunc) return text;
  if (shortId(row.ImageID ?? "") === shortId(text)) return shortId(text);
  const at = text.indexOf("@sha256:");
  return at > 0 && text.lastIndexOf(":", at - 1) > text.lastIndexOf("/", at) ? text.slice(0, at) : text;
}

function size(row: ContainerSummary): string {
  const own = formatBytes(row.SizeRw ?? 0, 3);
  return (row.SizeRootFs ?? 0) > 0 ? `${own} (virtual ${formatBytes(row.SizeRootFs ?? 0, 3)})` : own;
}

function mounts(row: ContainerSummary, noTrunc: boolean): string {
  return (row.Mounts ?? [])
    .map((mount) => mount.Name || mount.Source || "")
    .map((name) => (noTrunc ? name : ellipsis(name, MOUNT_WIDTH)))
    .join(",");
}
