import { LighterError } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import type { Digest, RunConfig } from "../oci/image.ts";
import type { ContainerConfig } from "../wire/engine-api.ts";
import { changesOf, MOUNT_POINTS, mountPathsBeside } from "./changes.ts";
import { change, type Context, current, find, isRunning, liveOf, tell, tellAlone } from "./context.ts";
import type { Live } from "./live.ts";
import { mergeConfig } from "./merge-config.ts";
import { pathsOf } from "./paths.ts";
import { stackOf } from "./prepare.ts";
import { ready } from "./ready.ts";
import { type ContainerRow, rowById } from "./rows.ts";
import { beginTransfer } from "./transfers.ts";

const log = logOf("containers");

/** What `docker commit` says of the image to be made. */
export interface CommitRequest {
  name?: { repository: string; tag?: string };
  author: string;
  comment: string;
  /** Dockerfile instructions. */
  changes: readonly string[];
  /** Freeze a running container meanwhile, so that its files hold together. */
  pause: boolean;
  /** Stands in for the container's configuration; what it leaves out is the container's all the same. */
  config?: ContainerConfig;
  signal?: AbortSignal;
}

/** Makes an image of what a container has changed. A container that does not run stays as it is meanwhile; a frozen one goes on whatever happens. */
export async function commitContainer(context: Context, reference: string, request: CommitRequest): Promise<Digest> {
  const { id } = find(context, reference);
  const live = liveOf(context, id);
  const commit = async (row: ContainerRow): Promise<Digest> => {
    if (live.removing || row.status === "removing" || row.status === "dead")
      throw new LighterError(
        "conflict",
        `You cannot commit container ${row.id} which is ${row.status === "dead" ? "Dead" : "being removed"}`,
      );
    const { signal, done } = beginTransfer(live, request.signal);
    try {
      return await makeImage(context, row, { ...request, signal });
    } finally {
      done();
    }
  };
  const row = current(context, id);
  if (row.status === "running" && !request.pause) return commit(row);
  return change(context, id, (now, held) => (now.status === "running" && request.pause ? frozen(context, now, held, commit) : commit(now)));
}

/**
 * Freezes a container for as long as the work takes. Its row goes on saying that it runs, so that a daemon that comes after a crash thaws it.
 */
async function frozen<T>(context: Context, row: ContainerRow, live: Live, work: (row: ContainerRow) => Promise<T>): Promise<T> {
  const { task } = live;
  if (task === undefined) return work(row);
  const thawed = Promise.withResolvers<void>();
  live.thawed = thawed.promise;
  try {
    await task.pause();
    tellAlone(context, row, "pause");
    return await work(row);
  } finally {
    // One that was killed meanwhile has nothing left to thaw.
    await task.resume().catch((error: unknown) => log.debug("cannot thaw {id}: {error}", { id: row.id, error }));
    live.thawed = undefined;
    thawed.resolve();
    const now = rowById(context.needs.state, row.id);
    if (now !== undefined && isRunning(now)) tellAlone(context, now, "unpause");
  }
}

async function makeImage(context: Context, row: ContainerRow, request: CommitRequest & { signal: AbortSignal }): Promise<Digest> {
  const { config } = row.desired;
  await ready(context, row);
  const changes = await changesOf(context, row, { copied: true });
  const { upper } = pathsOf(context.needs.options, row.id);
  const whole = context.needs.options.copies === true ? { whole: { lower: stackOf(context, row), mountPoints: MOUNT_POINTS } } : {};
  return context.needs.images.commit({
    base: row.manifest,
    layer: changes.length === 0 ? undefined : { directory: upper, except: mountPathsBeside(changes), ...whole },
    config(changed) {
      const asked = changed(runConfigOf(request.config ?? config));
      return runConfigOf({ ...mergeConfig(asked as ContainerConfig, config as RunConfig), OnBuild: asked.OnBuild ?? null });
    },
    changes: request.changes,
    author: request.author,
    comment: request.comment,
    createdBy: (config.Cmd ?? []).join(" "),
    ...(request.name === undefined ? {} : { name: request.name }),
    recorded: (tx, image) => tell(tx, row, "commit", { comment: request.comment, imageID: image.id, imageRef: image.name }),
    signal: request.signal,
  });
}

const INHERITED = [
  "User",
  "ExposedPorts",
  "Env",
  "Entrypoint",
  "Cmd",
  "Volumes",
  "WorkingDir",
  "Labels",
  "StopSignal",
  "Healthcheck",
  "OnBuild",
  "Shell",
] as const;

/** The part of a configuration that an image keeps; empty values are left out. */
function runConfigOf(config: ContainerConfig): RunConfig {
  const entries = INHERITED.map((key) => [key, config[key]] as const).filter(([, value]) => !isEmpty(value));
  return Object.fromEntries(entries) as RunConfig;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return Array.isArray(value) ? value.length === 0 : typeof value === "object" && Object.keys(value).length === 0;
}
