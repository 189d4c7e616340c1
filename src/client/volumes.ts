import type { Volume, VolumeCreateRequest, VolumeListResponse } from "../wire/engine-api.ts";
import type { Connection } from "./connection.ts";
import type { Filters } from "./filters.ts";

const at = (name: string): string => `/volumes/${encodeURIComponent(name)}`;

export function listVolumes(connection: Connection, filters?: Filters): Promise<VolumeListResponse> {
  return connection.json("GET", "/volumes", { query: { filters } });
}

export function inspectVolume(connection: Connection, name: string): Promise<Volume> {
  return connection.json("GET", at(name));
}

/** Makes a volume; one of the same name and driver that is there already is returned as it is. */
export function createVolume(connection: Connection, body: VolumeCreateRequest): Promise<Volume> {
  return connection.json("POST", "/volumes/create", { json: body });
}

export async function removeVolume(connection: Connection, name: string, force: boolean): Promise<void> {
  await connection.send("DELETE", at(name), { query: { force: force || undefined } });
}

export function pruneVolumes(
  connection: Connection,
  filters?: Filters,
): Promise<{ VolumesDeleted?: string[] | null; SpaceReclaimed?: number }> {
  return connection.json("POST", "/volumes/prune", { query: { filters } });
}
