import { detachedOverlay } from "./overlay.ts";

/**
 * A descriptor of an overlay that is mounted nowhere: its files are reached below `/proc/self/fd/<n>`, and the mount goes when it is closed.
 * Without `upper` it is read-only. `lower` is topmost first.
 */
export async function openDetachedOverlay(overlay: { lower: string[]; upper?: string; work?: string }): Promise<number> {
  return detachedOverlay({ target: "", volatile: false, upper: "", work: "", ...overlay });
}
