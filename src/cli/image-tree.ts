import { shortId } from "../base/ids.ts";
import { formatBytes } from "../base/units.ts";
import type { ImageSummary } from "../wire/engine-api.ts";
import { table } from "./format.ts";

/** Images, and below each of them its platforms, with what they take on disk and in the content store. */
export function imageTree(images: readonly ImageSummary[]): string {
  const rows: string[][] = [["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"]];
  for (const image of images) {
    const names = image.RepoTags?.length ? image.RepoTags : ["<untagged>"];
    const platforms = (image.Manifests ?? []).filter(({ Kind }) => Kind === "image");
    const content = platforms.reduce((sum, { Size }) => sum + (Size?.Content ?? 0), 0);
    const used = image.Containers > 0 ? "U" : "";
    for (const name of names) rows.push([name, shortId(image.Id ?? ""), formatBytes(image.Size, 3), formatBytes(content, 3), used]);
    platforms.forEach(({ ID, Size, ImageData, Available }, at) => {
      const branch = at === platforms.length - 1 ? "└─" : "├─";
      const { os = "", architecture = "", variant } = ImageData?.Platform ?? {};
      const platform = `${os}/${architecture}${variant ? `/${variant}` : ""}`;
      rows.push([
        `${branch} ${platform}`,
        shortId(ID ?? ""),
        Available ? formatBytes(Size?.Total ?? 0, 3) : "0B",
        formatBytes(Size?.Content ?? 0, 3),
        "",
      ]);
    });
  }
  return table(rows);
}
