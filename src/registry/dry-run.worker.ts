/** Does one dry run of a collection. Started by `dry-run.ts`. */
import { messageOf } from "../base/errors.ts";
import { type DryRunArgs, whatWouldGo } from "./dry-run.ts";

declare const self: Worker;

self.addEventListener("message", ({ data }: MessageEvent<DryRunArgs>) => {
  try {
    self.postMessage(whatWouldGo(data));
  } catch (error) {
    self.postMessage({ failed: messageOf(error) });
  }
});
