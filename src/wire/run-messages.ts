import type { ContainerCreateResponse, ContainerWaitResponse } from "./engine-api.ts";

/**
 * The stream of `POST /lighter/run` and `POST /lighter/containers/{id}/exec`: stdcopy frames, in which those of the stream `system` hold lines of JSON, one
 * {@link RunMessage} each. `created` comes first (of a run alone); the last one is `failed` or `ended`.
 */
export const RUN_STREAM = "application/vnd.lighter.run-stream";

/** What is told of a run or an exec beside its output. `failed`: it could not be started, and why, as a start would answer. */
export type RunMessage =
  { created: ContainerCreateResponse } | { failed: { status: number; message: string } } | { ended: ContainerWaitResponse };
