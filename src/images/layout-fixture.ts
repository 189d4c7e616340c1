/** For tests: image archives that are made by hand, sound or not. */
import { createHash } from "node:crypto";
import { TAR_END, tarHeader, tarPadding } from "../oci/tar-write.ts";
import { byteString, type TarEntry } from "../oci/tar-entry.ts";
import { MEDIA } from "../oci/image.ts";

/** A file of an archive, with what matters of its entry. */
export interface Member extends Partial<Omit<TarEntry, "size" | "path">> {
  path: string;
  data?: string | Uint8Array;
}

/** A tar archive. */
export function tarOf(members: readonly Member[]): Uint8Array {
  const parts = members.flatMap(({ path, data = "", ...more }) => {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    const type = more.type ?? (path.endsWith("/") ? "directory" : "file");
    const plain = {
      link: "",
      mode: type === "directory" ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      user: "",
      group: "",
      mtime: 0n,
      major: 0,
      minor: 0,
    };
    const size = type === "file" ? bytes.length : 0;
    return [tarHeader({ ...plain, ...more, type, path: byteString(path), size }), ...(size > 0 ? [bytes, tarPadding(size)] : [])];
  });
  return Buffer.concat([...parts, TAR_END]);
}

export function sha256(bytes: Uint8Array | string): `sha256:${string}` {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** A document or layer of a layout. */
export interface Part {
  mediaType: string;
  digest: `sha256:${string}`;
  size: number;
}

/** An OCI layout that is made by hand, sound or not. */
export class Layout {
  readonly blobs = new Map<string, Uint8Array>();
  readonly manifests: object[] = [];

  add(bytes: Uint8Array | string, mediaType: string): Part {
    const data = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    const digest = sha256(data);
    this.blobs.set(digest.slice(7), data);
    return { mediaType, digest, size: data.length };
  }

  json(value: unknown, mediaType: string): Part {
    return this.add(JSON.stringify(value), mediaType);
  }

  /** An image of plain layers. */
  image(layers: readonly Uint8Array[], more: { name?: string; config?: object; architecture?: string } = {}): Part {
    const parts = layers.map((layer) => this.add(layer, MEDIA.ociLayer));
    const config = this.json(
      {
        os: "linux",
        architecture: more.architecture ?? (process.arch === "arm64" ? "arm64" : "amd64"),
        config: more.config ?? {},
        rootfs: { type: "layers", diff_ids: layers.map(sha256) },
      },
      MEDIA.ociConfig,
    );
    const manifest = this.json({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: parts }, MEDIA.ociManifest);
    if (more.name !== undefined) this.name(manifest, more.name);
    return manifest;
  }

  /** Puts it into `index.json`. */
  name(part: Part, name: string): void {
    this.manifests.push({
      ...part,
      annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.split(":").at(-1) },
    });
  }

  /** The layout in one archive, as `docker load` takes it. */
  archive(): Uint8Array {
    return tarOf([
      { path: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
      { path: "index.json", data: JSON.stringify({ schemaVersion: 2, manifests: this.manifests }) },
      ...[...this.blobs].map(([hex, data]) => ({ path: `blobs/sha256/${hex}`, data })),
    ]);
  }
}
