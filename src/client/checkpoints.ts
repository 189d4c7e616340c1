import type { Connection } from "./connection.ts";
import { containerSegment } from "./containers.ts";

const at = (container: string, name = ""): string =>
  `/containers/${containerSegment(container)}/checkpoints${name === "" ? "" : `/${encodeURIComponent(name)}`}`;

/** Writes a container's processes down; `exit` ends them then. */
export async function createCheckpoint(
  connection: Connection,
  container: string,
  options: { id: string; directory: string; exit: boolean },
): Promise<void> {
  await connection.send("POST", at(container), {
    json: { CheckpointID: options.id, CheckpointDir: options.directory, Exit: options.exit },
  });
}

/** The checkpoints of a container. */
export async function listCheckpoints(connection: Connection, container: string, directory: string): Promise<{ Name: string }[]> {
  return (await connection.json<{ Name: string }[] | null>("GET", at(container), { query: { dir: directory || undefined } })) ?? [];
}

export async function removeCheckpoint(connection: Connection, container: string, id: string, directory: string): Promise<void> {
  await connection.send("DELETE", at(container, id), { query: { dir: directory || undefined } });
}
