import { LighterError } from "../base/errors.ts";
import { parseBytes } from "../base/units.ts";
import { canLimitTrees } from "../content/trees.ts";
import { completeDefaults } from "./container-keys.ts";
import type { EngineConfig } from "./config.ts";

/** One of "storage-opts", or one `--storage-opt`. Throws `invalid` for those of other drivers. */
export function applyStorageOption(engine: Partial<EngineConfig>, option: string): void {
  const at = option.indexOf("=");
  const [key, value] = at < 0 ? [option, ""] : [option.slice(0, at), option.slice(at + 1)];
  const name = key.toLowerCase();
  // It was for kernels before 4.0.
  if (name === "overlay2.override_kernel_check") return;
  if (name !== "overlay2.size") throw new LighterError("invalid", `Cannot use storage option "${option}": expected overlay2.size=BYTES`);
  (engine.containers ??= completeDefaults({})).storageSize = parseBytes(value);
}

/** Throws `unsupported` where containers are to be limited and nothing would keep them to it. */
export function checkStorageSize({ dataRoot, containers }: Pick<EngineConfig, "dataRoot" | "containers">): void {
  if ((containers.storageSize ?? 0) === 0 || canLimitTrees(dataRoot)) return;
  throw new LighterError(
    "unsupported",
    `Cannot use storage option overlay2.size: "${dataRoot}" is not on ext4 or xfs that is mounted with prjquota; leave it out, or limit volumes alone`,
  );
}
