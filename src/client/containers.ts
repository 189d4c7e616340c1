import type {
  HealthConfig,
  ContainerCreateResponse,
  ContainerConfig,
  ContainerInspectResponse,
  ContainerSummary,
  ContainerTopResponse,
  ContainerWaitResponse,
  EndpointSettings,
  FilesystemChange,
  HostConfig,
  Mount,
  PortMap,
  Resources,
  RestartPolicy,
} from "../wire/engine-api.ts";
import type { Connection, Query } from "./connection.ts";
import type { Filters } from "./filters.ts";
import type { Hijacked } from "./upgrade.ts";

/** The body of a create request. */
export interface CreateBody extends ContainerConfig {
  HostConfig?: HostConfig;
  NetworkingConfig?: { EndpointsConfig?: Record<string, EndpointSettings> };
}

/** Rows and columns of a terminal. */
export interface Size {
  height: number;
  width: number;
}

/** A container's name or id as a part of a path; inspect shows names with a leading slash, and people paste them. */
export function containerSegment(id: string): string {
  return encodeURIComponent(id.replace(/^\//, ""));
}

const at = (id: string, verb = ""): string => `/containers/${containerSegment(id)}${verb === "" ? "" : `/${verb}`}`;

/** Makes a container. */
export function createContainer(
  connection: Connection,
  body: CreateBody,
  options: { name?: string; platform?: string } = {},
): Promise<ContainerCreateResponse> {
  const query: Query = { name: options.name || undefined, platform: options.platform || undefined };
  return connection.json("POST", "/containers/create", { query, json: body });
}

/** Starts a container; one that runs already is left alone. */
export async function startContainer(
  connection: Connection,
  id: string,
  options: { detachKeys?: string; checkpoint?: string; checkpointDir?: string } = {},
): Promise<void> {
  const query: Query = { checkpoint: options.checkpoint || undefined, "checkpoint-dir": options.checkpointDir || undefined };
  await connection.send("POST", at(id, "start"), { query });
}

export interface AttachOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** Replay what was written before. */
  logs?: boolean;
  detachKeys?: string;
}

/** Takes over the connection for a container's streams. */
export function attachContainer(connection: Connection, id: string, options: AttachOptions): Promise<Hijacked> {
  const { stdin, stdout, stderr, logs, detachKeys } = options;
  const on = (value: boolean | undefined): true | undefined => value || undefined;
  const query: Query = {
    stream: true,
    stdin: on(stdin),
    stdout: on(stdout),
    stderr: on(stderr),
    logs: on(logs),
    detachKeys: detachKeys || undefined,
  };
  return connection.hijack(at(id, "attach"), { query });
}

/** Waiting for an exit: known to the daemon once {@link waitContainer} has resolved. */
export interface Waiting {
  /** The exit code, or the daemon's reason why there is none. */
  result: Promise<ContainerWaitResponse>;
}

/**
 * Waits for a container's end. Resolves as soon as the daemon has begun to wait (its header is there), so that a start
 * that follows cannot be missed.
 */
export async function waitContainer(
  connection: Connection,
  id: string,
  condition?: "not-running" | "next-exit" | "removed",
  signal?: AbortSignal,
): Promise<Waiting> {
  const answer = await connection.request("POST", at(id, "wait"), { query: { condition }, ...(signal && { signal }) });
  const result = answer.json() as Promise<ContainerWaitResponse>;
  result.catch(() => {});
  return { result };
}

export interface ListOptions {
  all?: boolean;
  limit?: number;
  size?: boolean;
  filters?: Filters;
}

export function listContainers(connection: Connection, options: ListOptions = {}): Promise<ContainerSummary[]> {
  const { all, limit, size, filters } = options;
  const query: Query = {
    all: all || undefined,
    limit: limit !== undefined && limit > 0 ? limit : undefined,
    size: size || undefined,
    filters,
  };
  return connection.json("GET", "/containers/json", { query });
}

export function inspectContainer(connection: Connection, id: string, options: { size?: boolean } = {}): Promise<ContainerInspectResponse> {
  return connection.json("GET", at(id, "json"), { query: { size: options.size || undefined } });
}

export interface StopOptions {
  /** Seconds until it is killed; -1 for never. */
  timeout?: number;
  signal?: string;
}

export async function stopContainer(connection: Connection, id: string, options: StopOptions = {}): Promise<void> {
  await connection.send("POST", at(id, "stop"), { query: { t: options.timeout, signal: options.signal || undefined } });
}

export async function restartContainer(connection: Connection, id: string, options: StopOptions = {}): Promise<void> {
  await connection.send("POST", at(id, "restart"), { query: { t: options.timeout, signal: options.signal || undefined } });
}

export async function killContainer(connection: Connection, id: string, signal?: string): Promise<void> {
  await connection.send("POST", at(id, "kill"), { query: { signal: signal || undefined } });
}

export async function pauseContainer(connection: Connection, id: string): Promise<void> {
  await connection.send("POST", at(id, "pause"));
}

export async function unpauseContainer(connection: Connection, id: string): Promise<void> {
  await connection.send("POST", at(id, "unpause"));
}

export async function renameContainer(connection: Connection, id: string, name: string): Promise<void> {
  await connection.send("POST", at(id, "rename"), { query: { name } });
}

/** The body of an update: Docker's, and in `Lighter` what this engine changes beside that. Lists name what is added or set, and what is removed. */
export interface UpdateBody extends Resources {
  RestartPolicy?: RestartPolicy;
  Lighter?: {
    Env?: { Set?: string[]; Remove?: string[] };
    Labels?: { Set?: Record<string, string>; Remove?: string[] };
    Ports?: { Add?: PortMap; Remove?: string[] };
    Mounts?: { Binds?: string[]; Mounts?: Mount[]; Remove?: string[] };
    Healthcheck?: HealthConfig;
    LogOptions?: { Set?: Record<string, string>; Remove?: string[] };
    PublishAllPorts?: boolean;
    Aliases?: Record<string, { Add?: string[]; Remove?: string[] }>;
    Hostname?: string;
    Domainname?: string;
    User?: string;
    WorkingDir?: string;
    Entrypoint?: string[];
    Cmd?: string[];
    StopSignal?: string;
    StopTimeout?: number;
  };
}

/** Changes a container that exists; `Pending` names what waits for its next start. */
export function updateContainer(
  connection: Connection,
  id: string,
  body: UpdateBody,
): Promise<{ Warnings?: string[] | null; Pending?: string[] }> {
  return connection.json("POST", at(id, "update"), { json: body });
}

export async function removeContainer(
  connection: Connection,
  id: string,
  options: { force?: boolean; volumes?: boolean; link?: boolean } = {},
): Promise<void> {
  const { force, volumes, link } = options;
  await connection.send("DELETE", at(id), { query: { force: force || undefined, v: volumes || undefined, link: link || undefined } });
}

export async function resizeContainer(connection: Connection, id: string, size: Size): Promise<void> {
  await connection.send("POST", at(id, "resize"), { query: { h: size.height, w: size.width } });
}

export function topContainer(connection: Connection, id: string, psArgs?: string): Promise<ContainerTopResponse> {
  return connection.json("GET", at(id, "top"), { query: { ps_args: psArgs || undefined } });
}

export function containerChanges(connection: Connection, id: string): Promise<FilesystemChange[] | null> {
  return connection.json("GET", at(id, "changes"));
}

export interface LogOptions {
  stdout: boolean;
  stderr: boolean;
  follow?: boolean;
  since?: string;
  until?: string;
  timestamps?: boolean;
  details?: boolean;
  tail?: string;
}

/** Throws away what is stored of a container's output; a daemon other than ours has no such thing. */
export async function clearLogs(connection: Connection, id: string): Promise<void> {
  await connection.send("DELETE", at(id, "logs"));
}

/** What a container has written, as stdcopy frames, or raw for one with a TTY. */
export function containerLogs(connection: Connection, id: string, options: LogOptions): Promise<Response> {
  const on = (value: boolean | undefined): true | undefined => value || undefined;
  const { stdout, stderr, follow, since, until, timestamps, details, tail } = options;
  const query: Query = {
    stdout: on(stdout),
    stderr: on(stderr),
    follow: on(follow),
    since: since || undefined,
    until: until || undefined,
    timestamps: on(timestamps),
    details: on(details),
    tail,
  };
  return connection.request("GET", at(id, "logs"), { query });
}

/** A container's file system as a tar stream. */
export function exportContainer(connection: Connection, id: string): Promise<Response> {
  return connection.request("GET", at(id, "export"));
}

export function pruneContainers(
  connection: Connection,
  filters?: Filters,
): Promise<{ ContainersDeleted?: string[] | null; SpaceReclaimed?: number }> {
  return connection.json("POST", "/containers/prune", { query: { filters } });
}

/** What the archive endpoints say of a path, as their header carries it. */
export interface PathStat {
  name: string;
  size: number;
  /** Go's file mode bits. */
  mode: number;
  mtime: string;
  linkTarget: string;
}

const STAT_HEADER = "x-docker-container-path-stat";

function decodeStat(headers: Headers): PathStat {
  return JSON.parse(Buffer.from(headers.get(STAT_HEADER) ?? "e30=", "base64").toString()) as PathStat;
}

/** What a path in a container is. */
export async function statPath(connection: Connection, id: string, path: string): Promise<PathStat> {
  const answer = await connection.request("HEAD", at(id, "archive"), { query: { path } });
  return decodeStat(answer.headers);
}

/** A path of a container as a tar stream, and what the path is. */
export async function getArchive(
  connection: Connection,
  id: string,
  path: string,
): Promise<{ stat: PathStat; body: ReadableStream<Uint8Array> }> {
  const answer = await connection.request("GET", at(id, "archive"), { query: { path } });
  return { stat: decodeStat(answer.headers), body: answer.body ?? new Blob([]).stream() };
}

/** Unpacks a tar stream into a folder of a container. */
export async function putArchive(
  connection: Connection,
  id: string,
  path: string,
  body: ReadableStream<Uint8Array>,
  options: { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean } = {},
): Promise<void> {
  const query: Query = {
    path,
    noOverwriteDirNonDir: options.noOverwriteDirNonDir || undefined,
    copyUIDGID: options.copyUidGid || undefined,
  };
  await connection.negotiate();
  await connection.send("PUT", at(id, "archive"), { query, body, headers: { "Content-Type": "application/x-tar" } });
}
