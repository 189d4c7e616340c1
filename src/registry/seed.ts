import { isIndex, isManifest, type Digest, type Index, type Manifest } from "../oci/image.ts";
import type { RegistryContext } from "./routes.ts";
import { putLink, putTag } from "./rows.ts";
import type { ShippedImage } from "./shipped.ts";

const SETTING = "registry.shipped";

/** Puts the images that the executable carries into the registry, once for each edition of them: later starts cost one look-up. */
export async function seed({ state, content }: RegistryContext, shipped: () => Promise<readonly ShippedImage[]>): Promise<void> {
  const images = await shipped();
  const edition = JSON.stringify({ v: 1, images: images.map(({ repository, tags, index }) => [repository, tags, index]) });
  const stored = state.get<{ value_json: string }>("SELECT value_json FROM settings WHERE key = ?", SETTING);
  if (stored?.value_json === edition) return;
  using lease = content.lease("shipped images");
  for (const { blobs } of images) {
    for (const blob of blobs) await content.writeBlob(blob.bytes, blob.mediaType, lease);
  }
  state.write(
    (tx) => {
      for (const { repository, tags, blobs, index } of images) {
        for (const { digest, mediaType, bytes } of blobs) {
          const children = childrenOf(mediaType, bytes);
          if (children !== undefined) content.setEdges(tx, digest, children);
          putLink(tx, { repository, digest, kind: children === undefined ? "blob" : "manifest", media_type: mediaType });
        }
        for (const tag of tags) putTag(tx, repository, tag, index);
      }
      tx.run("INSERT OR REPLACE INTO settings (key, value_json) VALUES (?, ?)", SETTING, edition);
    },
    { durable: true },
  );
}

function childrenOf(mediaType: string, bytes: Uint8Array): Digest[] | undefined {
  if (!isIndex(mediaType) && !isManifest(mediaType)) return undefined;
  const document = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Manifest & Index>;
  const children = [document.config, ...(document.layers ?? []), ...(document.manifests ?? [])];
  return [...new Set(children.flatMap((child) => (child === undefined ? [] : [child.digest])))];
}
