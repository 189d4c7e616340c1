import type { ByteString } from "./tar-entry.ts";

/** Names that begin so hide the name behind the prefix in the layers below. https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts */
export const WHITEOUT_PREFIX = ".wh.";
/** In a directory: nothing of the layers below shows. */
export const OPAQUE_WHITEOUT = ".wh..wh..opq";

/** How overlayfs marks a directory whose lower twin does not show; the value is `y`. https://docs.kernel.org/filesystems/overlayfs.html */
export const OVERLAY_OPAQUE = "trusted.overlay.opaque";
/** Attributes that are overlayfs' own: no archive may bring them, and none leaves in one. */
export const OVERLAY_XATTRS = "trusted.overlay.";

/** What a whiteout name does to the layers below. */
export type Whiteout = { kind: "opaque" } | { kind: "remove"; name: ByteString } | { kind: "ignore" };

/**
 * What the last part of a path means in a layer: undefined for an ordinary name.
 * Other names below `.wh..wh.` are AUFS' own book-keeping and mean nothing here.
 */
export function whiteoutOf(base: ByteString): Whiteout | undefined {
  if (!base.startsWith(WHITEOUT_PREFIX)) return undefined;
  if (base === OPAQUE_WHITEOUT) return { kind: "opaque" };
  const name = base.slice(WHITEOUT_PREFIX.length);
  if (name === "" || name === "." || name === ".." || name.startsWith(WHITEOUT_PREFIX)) return { kind: "ignore" };
  return { kind: "remove", name };
}

/** The name in a layer's archive that removes `base`. */
export function whiteoutName(base: ByteString): ByteString {
  return WHITEOUT_PREFIX + base;
}
