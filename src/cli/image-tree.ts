import { shortId } from "../base/ids.ts";
import { formatBytes } from "../base/units.ts";
import type { ImageManifestSummary, ImageSummary } from "../wire/engine-api.ts";
import { table } from "./format.ts";

const LEGEND = "Info ->   U  In Use";

/** Images, and below each of them its platforms, with what they take on disk and in the content store. */
export function imageTree(images: readonly ImageSummary[]): string {
  const rows: string[][] = [["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"]];
  images.forEach((image, at) => {
    if (at > 0) rows.push([""]);
    rows.push(...imageRows(image));
  });
  const [head = "", ...lines] = table(rows).split("\n");
  return [`${LEGEND.padStart(head.length)}`, "", head, ...lines].join("\n");
}

/** An image's names, one a line, the last one with its sizes; then its platforms. */
function imageRows(image: ImageSummary): string[][] {
  const names = image.RepoTags?.length ? image.RepoTags : ["<untagged>"];
  const platforms = (image.Manifests ?? []).filter(({ Kind }) => Kind === "image");
  const content = platforms.reduce((sum, { Size }) => sum + (Size?.Content ?? 0), 0);
  const used = image.Containers > 0 ? "U" : "";
  const data = [shortId(image.Id ?? ""), formatBytes(image.Size, 3), formatBytes(content, 3), used];
  return [
    ...names.slice(0, -1).map((name) => [name]),
    [names.at(-1) ?? "", ...data],
    ...platforms.map((platform, at) => platformRow(platform, at === platforms.length - 1)),
  ];
}

function platformRow({ ID, Size, ImageData, Available }: ImageManifestSummary, last: boolean): string[] {
  const { os = "", architecture = "", variant } = ImageData?.Platform ?? {};
  const platform = `${os}/${architecture}${variant ? `/${variant}` : ""}`;
  const used = ImageData?.Containers?.length ? "U" : "";
  const total = Available ? formatBytes(Size?.Total ?? 0, 3) : "0B";
  return [`${last ? "└─" : "├─"} ${platform}`, shortId(ID ?? ""), total, formatBytes(Size?.Content ?? 0, 3), used];
}
