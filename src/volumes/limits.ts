import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { parseBytes } from "../base/units.ts";
import { canLimitTrees, limitOfTree, limitTree } from "../content/trees.ts";
import type { VolumeRow } from "./rows.ts";

/** Bytes that a volume may hold, by its option `size`; undefined for no limit. Throws `invalid`. */
export function sizeLimitOf(options: Readonly<Record<string, string>> | null): number | undefined {
  const size = options?.["size"];
  const bytes = size === undefined ? 0 : parseBytes(size);
  return bytes > 0 ? bytes : undefined;
}

/** Refuses a size where nothing would keep it. `root` is where volumes are, or where that will be. Throws `invalid` with Docker's text. */
export function checkSize(name: string, options: Readonly<Record<string, string>>, root: string): void {
  if (options["size"] === undefined) return;
  const refuse = (why: string): never => {
    throw new LighterError("invalid", `create ${name}: ${why}`);
  };
  const bytes = ((): number | undefined => {
    try {
      return sizeLimitOf(options);
    } catch {
      return refuse(`invalid size: '${options["size"]}'`);
    }
  })();
  if (bytes === undefined) return;
  if (options["device"] !== undefined)
    refuse("size limits the files of this machine's own volumes: leave it away where a device is mounted");
  if (!canLimitTrees(root))
    refuse(`quota size requested but no quota support: "${root}" is not on ext4 or xfs that is mounted with prjquota`);
}

/** Sees to it that a volume's directory has the limit that its options say; what has one already costs a look. */
export async function applyLimit({ config }: Pick<VolumeRow, "config">, data: string): Promise<void> {
  const bytes = sizeLimitOf(config.options);
  if (bytes === undefined || (await limitOfTree(data)) !== undefined) return;
  await limitTree({ paths: [data], bytes });
}

/** How a volume that comes from elsewhere is made here: without a limit where nothing would keep it. */
export function withPossibleLimit<T extends Pick<VolumeRow, "config">>(name: string, row: T, root: string): T {
  const { options } = row.config;
  if (sizeLimitOf(options) === undefined || canLimitTrees(root)) return row;
  const { size, ...rest } = options ?? {};
  logOf("volumes").warn('volume "{name}" is made without its limit of {size}: there are no project quotas here', { name, size });
  return { ...row, config: { ...row.config, options: Object.keys(rest).length === 0 ? null : rest } };
}
