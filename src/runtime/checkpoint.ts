import { readFile, writeFile } from "node:fs/promises";
import { LighterError } from "../base/errors.ts";
import { runCommand } from "./command.ts";
import { type Context, stateRoot } from "./context.ts";
import type { CheckpointOptions, RuntimeRecord, TaskRecord } from "./runtime.ts";

const BY_RUNC = "containers made with --runtime runc can be checkpointed, given that criu is installed";

/** Throws `unsupported` with what would help where a runtime cannot checkpoint. */
export function requireCheckpoint(runtime: RuntimeRecord): void {
  if (runtime.checkpoint) return;
  const why =
    runtime.kind === "runc"
      ? "criu is not installed; install it where the daemon finds it (its PATH)"
      : `runtime "${runtime.name}" was built without CRIU; ${BY_RUNC}`;
  throw new LighterError("unsupported", `Cannot checkpoint: ${why}`);
}

/** Writes the state of all processes of a container to a directory, by the OCI runtime and criu. Throws `runtime` with their words. */
export async function checkpointTask(
  context: Context,
  runtime: RuntimeRecord,
  record: TaskRecord,
  { directory, work, leaveRunning }: CheckpointOptions,
): Promise<void> {
  requireCheckpoint(runtime);
  if (runtime.kind === "runc") await nameNetwork(`${stateRoot(context, runtime)}/${record.id}/state.json`, record.init.pid);
  const options = ["--image-path", directory, "--work-path", work, ...(leaveRunning ? ["--leave-running"] : [])];
  const { code, output } = await runCommand(context, runtime, ["checkpoint", ...options, record.id]);
  if (code === 0) return;
  // Debian 13's crun knows CRIU by a library that it loads when it is asked for.
  const [, library] = /could not load `(libcriu[^`]*)`/.exec(output) ?? [];
  if (library !== undefined)
    throw new LighterError("unsupported", `Cannot checkpoint: runtime "${runtime.name}" finds no ${library}; install it, or: ${BY_RUNC}`);
  throw new LighterError("runtime", `Cannot checkpoint container ${record.id}: ${lastWords(output)}`);
}

/** runc looks for the network namespace where it was at create: a descriptor that the daemon has closed since. */
async function nameNetwork(path: string, pid: number): Promise<void> {
  const state = JSON.parse(await readFile(path, "utf8")) as { config?: { namespaces?: { type: string; path?: string }[] } };
  const network = state.config?.namespaces?.find(({ type }) => type === "NEWNET");
  if (!network?.path) return;
  network.path = `/proc/${pid}/ns/net`;
  await writeFile(path, JSON.stringify(state), { mode: 0o600 });
}

/** What a runtime says, without the time and level of its log lines. */
function lastWords(output: string): string {
  const lines = output.trim().split("\n");
  const message = /msg="((?:[^"\\]|\\.)*)"/.exec(lines.at(-1) ?? "")?.[1];
  return (message ?? lines.at(-1) ?? "").replaceAll('\\"', '"') || "the runtime failed without a word";
}
