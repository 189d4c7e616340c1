import { LighterError } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";

/** Layers up to this many bytes are unpacked whatever they were packed into. */
const HARMLESS = 4 * 2 ** 30;
/** Beyond, a layer may be this many times as large as its blob. Programs and data come to 2 to 10, gzip itself ends at 1032. */
const MOST_TIMES = 250;

/** The `code` of the error for a layer that unpacks to too much: another attempt would end alike. */
export const LAYER_TOO_LARGE = "ELAYERTOOLARGE";

/**
 * Stops archives that were made to fill the disk. Throws `invalid` when `unpacked` bytes came out of `packed` and that is more than `most` or, where
 * nothing is configured, out of all proportion. `what` it is: an image's layer, or a part of a volume.
 */
export function checkUnpackedSize(unpacked: number, packed: number, most?: number, what = "layer"): void {
  const bound = most ?? Math.max(HARMLESS, packed * MOST_TIMES);
  if (unpacked <= bound) return;
  const why = most === undefined ? `, more than ${MOST_TIMES} times its packed size` : "";
  const error = new LighterError(
    "invalid",
    `Cannot unpack the ${what}: it unpacks to more than ${formatBytes(bound)}${why}; where that is right, set "max-layer-size" in the daemon's configuration`,
  );
  throw Object.assign(error, { code: LAYER_TOO_LARGE });
}
