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

const ours = (name: string, what: string): string => `/lighter/volumes/${encodeURIComponent(name)}/${what}`;

/** A volume's files, labels and options as a tar archive. With `pause`, containers that run with it stand still while they are copied. */
export function backupVolume(connection: Connection, name: string, { pause }: { pause: boolean }): Promise<Response> {
  return connection.request("GET", ours(name, "archive"), { query: { pause: pause || undefined } });
}

/** Makes a volume of such an archive, plain, gzip or zstd. */
export async function restoreVolume(connection: Connection, name: string, archive: ReadableStream<Uint8Array>): Promise<Volume> {
  await connection.negotiate();
  return connection.json("PUT", ours(name, "archive"), { body: archive, headers: { "content-type": "application/x-tar" } });
}

/** Makes a volume with the files, labels and options of another. */
export function cloneVolume(connection: Connection, name: string, to: string, { pause }: { pause: boolean }): Promise<Volume> {
  return connection.json("POST", ours(name, "clone"), { query: { to, pause: pause || undefined } });
}

/** What a volume holds: bytes on disk, files, the bytes that it may hold (null: as many as fit), and how many containers have it. */
export interface VolumeUse {
  Name: string;
  Size: number;
  Files: number;
  Limit: number | null;
  Containers: number;
  /** Why its files cannot be counted, where they cannot. */
  Unreachable?: string;
}

/** What volumes hold (all, or those named), the largest first. */
export function volumeUse(connection: Connection, names: readonly string[]): Promise<VolumeUse[]> {
  return connection.json("GET", "/lighter/volumes/usage", { query: { name: [...names] } });
}

/** What differs: kind 0 changed, 1 added, 2 deleted. */
export type VolumeChanges = { Path: string; Kind: number }[];

/** What a volume has against another volume, or against an archive of `volume backup`. With `contents` every file is read. */
export async function compareVolumes(
  connection: Connection,
  name: string,
  other: string | ReadableStream<Uint8Array>,
  { contents }: { contents: boolean },
): Promise<VolumeChanges> {
  const query = { contents: contents || undefined };
  if (typeof other === "string") return await connection.json("GET", ours(name, "diff"), { query: { ...query, with: other } });
  await connection.negotiate();
  return await connection.json("PUT", ours(name, "diff"), { body: other, query, headers: { "content-type": "application/x-tar" } });
}

/** Gives a volume another name. */
export async function renameVolume(connection: Connection, name: string, to: string): Promise<void> {
  await connection.send("POST", ours(name, "rename"), { query: { to } });
}

/** Sends a volume to a registry. The answer's body is a stream of progress messages. */
export function pushVolume(
  connection: Connection,
  name: string,
  reference: string,
  { pause, auth }: { pause: boolean; auth: string | undefined },
): Promise<Response> {
  return connection.request("POST", ours(name, "push"), { query: { reference, pause: pause || undefined }, headers: authHeader(auth) });
}

/** Makes a volume of what a registry has, or fills one. The answer's body is a stream of progress messages; its last `aux` is the volume. */
export function pullVolume(
  connection: Connection,
  reference: string,
  { name, force, auth }: { name: string | undefined; force: boolean; auth: string | undefined },
): Promise<Response> {
  const query = { reference, name, force: force || undefined };
  return connection.request("POST", "/lighter/volumes/pull", { query, headers: authHeader(auth) });
}

const authHeader = (auth: string | undefined): Record<string, string> => (auth === undefined ? {} : { "X-Registry-Auth": auth });
