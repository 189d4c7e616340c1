import { LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { parseBytes } from "../base/units.ts";
import { canLimitTrees, limitTree, unlimitTree } from "../content/trees.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import type { ContainersOptions } from "./needs.ts";
import type { ContainerPaths } from "./paths.ts";

/** Bytes that a container may write (`--storage-opt size=`, or the daemon's own default); undefined for as many as fit. Throws `invalid`. */
export function storageSizeOf(host: Pick<HostConfig, "StorageOpt">, { storageSize }: { storageSize: number }): number | undefined {
  const [size] = Object.values(host.StorageOpt ?? {});
  const bytes = size === undefined ? storageSize : parseBytes(size);
  return bytes > 0 ? bytes : undefined;
}

/** Refuses a size where nothing would keep it. Throws `invalid` with Docker's text. */
export function checkStorageSize(host: Pick<HostConfig, "StorageOpt">, { dataRoot, copies }: ContainersOptions): void {
  const names = Object.keys(host.StorageOpt ?? {});
  if (names.length === 0) return;
  const unknown = names.find((option) => option.toLowerCase() !== "size");
  if (unknown !== undefined) throw new LighterError("invalid", `Unknown option ${unknown}`);
  if (copies === true || !canLimitTrees(dataRoot))
    throw new LighterError("invalid", "--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
  storageSizeOf(host, { storageSize: 0 });
}

/** Limits a writable layer with the overlay's own directory, between which the kernel moves files. `upper` is where it is made. */
export async function limitStorage(upper: string, { work }: Pick<ContainerPaths, "work">, bytes: number): Promise<void> {
  await limitTree({ paths: [upper, work], bytes });
}

/** Forgets the limit of a container whose files are about to go. */
export function unlimitStorage({ upper }: Pick<ContainerPaths, "upper">): void {
  try {
    unlimitTree(upper);
  } catch (error) {
    logOf("containers").warn("the limit of {upper} stays: {error}", { upper, error: messageOf(error) });
  }
}
