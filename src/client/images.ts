import type { ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect, ImageSummary } from "../wire/engine-api.ts";
import type { Connection, Query } from "./connection.ts";
import type { Filters } from "./filters.ts";

/** An image's name in a path: slashes and colons stand as they are. */
const at = (name: string, verb: string): string =>
  `/images/${encodeURIComponent(name).replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%40", "@")}${verb}`;

/** Credentials as the `X-Registry-Auth` header carries them. */
const authHeader = (auth: string | undefined): Record<string, string> => (auth === undefined ? {} : { "X-Registry-Auth": auth });

/** Pulls an image (or all tags, where `tag` is empty). The answer's body is a stream of progress messages. */
export function pullImage(
  connection: Connection,
  image: { name: string; tag: string },
  options: { platform?: string; auth?: string; verify?: readonly string[] } = {},
): Promise<Response> {
  const query: Query = { fromImage: image.name, tag: image.tag || undefined, platform: options.platform || undefined };
  const keys = verifyHeader(options.verify);
  if (options.verify !== undefined) query["verify"] = true;
  return connection.request("POST", "/images/create", { query, headers: { ...authHeader(options.auth), ...keys } });
}

/** Public keys as a daemon of ours takes them; with none, those of its policy count. */
function verifyHeader(keys: readonly string[] | undefined): Record<string, string> {
  if (keys === undefined || keys.length === 0) return {};
  return { "X-Lighter-Verify-Keys": Buffer.from(JSON.stringify(keys)).toString("base64url") };
}

/** Pushes an image (or all tags, where `tag` is empty). The answer's body is a stream of progress messages. */
export function pushImage(
  connection: Connection,
  image: { name: string; tag: string },
  options: { platform?: string; auth?: string } = {},
): Promise<Response> {
  const query: Query = { tag: image.tag || undefined, platform: options.platform || undefined };
  return connection.request("POST", at(image.name, "/push"), {
    query,
    headers: { "X-Registry-Auth": options.auth ?? "e30=", ...authHeader(options.auth) },
  });
}

export interface ImportOptions {
  /** `-` for the body, otherwise a URL that the daemon reads. */
  source: string;
  repo: string;
  tag: string;
  message?: string;
  platform?: string;
  changes?: readonly string[];
}

/** Makes an image of one layer from a tar stream or a URL. The answer's body is a stream of progress messages. */
export async function importImage(connection: Connection, options: ImportOptions, body?: ReadableStream<Uint8Array>): Promise<Response> {
  const { source, repo, tag, message, platform, changes } = options;
  const query: Query = {
    fromSrc: source,
    repo: repo || undefined,
    tag: tag || undefined,
    message: message || undefined,
    platform: platform || undefined,
    changes,
  };
  if (!body) return connection.request("POST", "/images/create", { query });
  await connection.negotiate();
  return connection.request("POST", "/images/create", { query, body, headers: { "Content-Type": "text/plain" } });
}

/** Loads images from a tar stream. The answer's body is a stream of progress messages. */
export async function loadImages(
  connection: Connection,
  body: ReadableStream<Uint8Array>,
  options: { quiet: boolean; platforms?: readonly string[] },
): Promise<Response> {
  await connection.negotiate();
  const query: Query = { quiet: options.quiet, platform: platformsQuery(options.platforms) };
  return connection.request("POST", "/images/load", { query, body, headers: { "Content-Type": "application/x-tar" } });
}

/** Images as a tar stream. */
export function saveImages(connection: Connection, names: readonly string[], platforms?: readonly string[]): Promise<Response> {
  return connection.request("GET", "/images/get", { query: { names, platform: platformsQuery(platforms) } });
}

/** A repository that a search found. */
export interface SearchResult {
  name: string;
  description: string;
  star_count: number;
  is_official: boolean;
}

/** Looks for repositories in a registry, through the daemon. */
export function searchImages(
  connection: Connection,
  term: string,
  options: { limit: number; filters?: Filters; auth?: string },
): Promise<SearchResult[]> {
  const query: Query = { term, limit: options.limit || undefined, filters: options.filters };
  return connection.json("GET", "/images/search", { query, headers: authHeader(options.auth) });
}

export interface ImageListOptions {
  /** Ours: the time of the last use, too. */
  lastUsed?: boolean;
  all?: boolean;
  filters?: Filters;
  sharedSize?: boolean;
  manifests?: boolean;
}

export function listImages(connection: Connection, options: ImageListOptions = {}): Promise<(ImageSummary & { LastUsed?: string })[]> {
  const { all, filters, sharedSize, manifests, lastUsed } = options;
  const query: Query = { all: all || undefined, filters, "shared-size": sharedSize || undefined, manifests: manifests || undefined };
  if (lastUsed) query["last-used"] = true;
  return connection.json("GET", "/images/json", { query });
}

export function inspectImage(connection: Connection, name: string, options: { platform?: string } = {}): Promise<ImageInspect> {
  const platform = options.platform ? platformsQuery([options.platform])?.[0] : undefined;
  return connection.json("GET", at(name, "/json"), { query: { platform } });
}

export function imageHistory(
  connection: Connection,
  name: string,
  options: { platform?: string } = {},
): Promise<ImageHistoryResponseItem[]> {
  const platform = options.platform ? platformsQuery([options.platform])?.[0] : undefined;
  return connection.json("GET", at(name, "/history"), { query: { platform } });
}

export async function tagImage(connection: Connection, name: string, target: { repo: string; tag: string }): Promise<void> {
  await connection.send("POST", at(name, "/tag"), { query: { repo: target.repo, tag: target.tag } });
}

export function removeImage(
  connection: Connection,
  name: string,
  options: { force?: boolean; noPrune?: boolean; platforms?: readonly string[] } = {},
): Promise<ImageDeleteResponseItem[]> {
  const query: Query = {
    force: options.force || undefined,
    noprune: options.noPrune || undefined,
    platforms: platformsQuery(options.platforms),
  };
  return connection.json("DELETE", at(name, ""), { query });
}

/** Makes an image of a container. */
export function commitContainer(
  connection: Connection,
  options: { container: string; repo: string; tag: string; author: string; comment: string; changes: readonly string[]; pause: boolean },
): Promise<{ Id: string }> {
  const { container, repo, tag, author, comment, changes, pause } = options;
  const query: Query = { container, repo, tag, author, comment, changes, pause: pause ? undefined : "0" };
  return connection.json("POST", "/commit", { query });
}

export function pruneImages(
  connection: Connection,
  filters?: Filters,
): Promise<{ ImagesDeleted?: ImageDeleteResponseItem[] | null; SpaceReclaimed?: number }> {
  return connection.json("POST", "/images/prune", { query: { filters } });
}

/** Platforms as the API takes them: JSON objects, one a value. */
function platformsQuery(platforms: readonly string[] | undefined): string[] | undefined {
  if (!platforms || platforms.length === 0) return undefined;
  return platforms.map((text) => {
    const [os = "", architecture = "", variant] = text.split("/");
    return JSON.stringify({ os, architecture, ...(variant !== undefined && { variant }) });
  });
}
