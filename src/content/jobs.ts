import { compareTreesJob } from "./compare-trees.ts";
import { copyStackJob } from "./copy-stack.ts";
import { copyTreeJob } from "./copy-tree.ts";
import { diffUpperJob } from "./diff-upper.ts";
import { findFreedJob, findUnreachedJob, unreachedBytesJob } from "./find-unreached.ts";
import { statPathJob } from "./in-root.ts";
import type { JobContext } from "./job.ts";
import { limitOfTreeJob, limitTreeJob } from "./limit-tree.ts";
import { packPartsJob } from "./pack-parts.ts";
import { packTreeJob } from "./pack-tree.ts";
import { syncDiskJob } from "./sync-disk.ts";
import { removeTreeJob, treeSizeJob } from "./tree.ts";
import { unpackLayerJob } from "./unpack-layer.ts";
import { unpackTreeJob } from "./unpack-tree.ts";
import { writeApartJob } from "./write-apart.ts";

/** The jobs that the Workers of the pool know. */
export const JOBS = {
  unpackLayer: unpackLayerJob,
  packTree: packTreeJob,
  packParts: packPartsJob,
  unpackTree: unpackTreeJob,
  copyStack: copyStackJob,
  copyTree: copyTreeJob,
  compareTrees: compareTreesJob,
  diffUpper: diffUpperJob,
  statPath: statPathJob,
  treeSize: treeSizeJob,
  removeTree: removeTreeJob,
  syncDisk: syncDiskJob,
  writeApart: writeApartJob,
  findUnreached: findUnreachedJob,
  unreachedBytes: unreachedBytesJob,
  findFreed: findFreedJob,
  limitTree: limitTreeJob,
  limitOfTree: limitOfTreeJob,
} satisfies Record<string, (args: never, context: JobContext) => Promise<unknown>>;

/** The name of a job, what it takes, and what it gives. */
export type JobName = keyof typeof JOBS;
export type JobArgs<Name extends JobName> = Parameters<(typeof JOBS)[Name]>[0];
export type JobResult<Name extends JobName> = Awaited<ReturnType<(typeof JOBS)[Name]>>;
