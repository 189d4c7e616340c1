import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import { networkFailure } from "../distribution/network-failure.ts";
import type { Platform } from "../oci/image.ts";
import { pour } from "./archive.ts";
import { done, json, orNull, param, type Answer, type Call } from "./call.ts";
import { progressAnswer } from "./progress-answer.ts";
import { registryAuth } from "./registry-auth.ts";

const LIST_FILTERS = ["before", "dangling", "label", "label!", "reference", "since", "until"];

/** `docker images`. */
export async function list(call: Call): Promise<Answer> {
  const { query } = call;
  const filters = query.filters(LIST_FILTERS);
  return json(
    await call.engine.images.list({
      all: query.flag("all"),
      digests: query.flag("digests"),
      sharedSize: query.flag("shared-size"),
      manifests: query.flag("manifests"),
      identity: query.flag("identity"),
      lastUsed: query.flag("last-used"),
      filters,
    }),
  );
}

/** Pulls an image, or makes one of a tar stream (`fromSrc`). */
export async function create(call: Call): Promise<Answer> {
  const image = call.query.text("fromImage");
  if (image !== undefined) return pull(call, image);
  const source = call.query.text("fromSrc");
  if (source !== undefined) return importRoot(call, source);
  throw new LighterError("invalid", "invalid reference format");
}

async function pull(call: Call, image: string): Promise<Answer> {
  const { query, signal } = call;
  const tag = query.text("tag");
  const platform = platformOf(call);
  const credentials = registryAuth(call);
  const reference = tag === undefined ? image : image.replace(/\/?$/, "") + (tag.includes(":") ? `@${tag}` : `:${tag}`);
  const allTags = tag === undefined && isBareName(image);
  const verify = verifyRequest(call);
  parseReference(reference);
  return progressAnswer((progress) =>
    call.engine.images
      .pull(reference, {
        progress,
        signal,
        allTags,
        ...(platform && { platform }),
        ...(credentials && { credentials }),
        ...(verify && { verify }),
      })
      .catch((error: unknown) => {
        throw unasked(error);
      }),
  );
}

/** As dockerd: where nobody gave a password it is no 401, upon which docker's client would ask for one and wait. */
function unasked(error: unknown): unknown {
  const missing = kindOf(error) === "unauthorized" && messageOf(error).endsWith(": no basic auth credentials");
  return missing ? new LighterError("unavailable", messageOf(error), { cause: error }) : error;
}

/** Ours: `verify=1`, and public keys as a list of PEM texts, JSON in base64url, in `X-Lighter-Verify-Keys`. */
function verifyRequest(call: Call): { keys: string[] } | undefined {
  if (!call.query.flag("verify")) return undefined;
  const header = call.header("x-lighter-verify-keys") ?? "";
  if (header === "") return { keys: [] };
  try {
    const keys: unknown = JSON.parse(Buffer.from(header, "base64url").toString());
    if (Array.isArray(keys) && keys.every((key) => typeof key === "string")) return { keys };
  } catch {
    // Not JSON, or not what it should be: one error.
  }
  throw new LighterError("invalid", "invalid X-Lighter-Verify-Keys header: expected a list of PEM texts");
}

/** Without tag and digest the API means every tag of the repository (docker's client adds `latest` itself). */
function isBareName(image: string): boolean {
  return !image.includes("@") && !/:[^/]*$/.test(image);
}

async function importRoot(call: Call, source: string): Promise<Answer> {
  const { query, signal } = call;
  const repository = query.text("repo");
  const tag = query.text("tag");
  const message = query.text("message");
  const platform = platformOf(call);
  const archive = source === "-" ? call.body.stream() : await download(source, signal);
  return progressAnswer((progress) => {
    if (source !== "-") progress({ status: `Downloading from ${urlOf(source)}` });
    return call.engine.images.import(archive, {
      changes: query.list("changes"),
      progress,
      signal,
      ...(repository && { repository }),
      ...(tag && { tag }),
      ...(message && { message }),
      ...(platform && { platform }),
    });
  });
}

function urlOf(source: string): string {
  return /^https?:\/\//.test(source) ? source : `http://${source}`;
}

async function download(source: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const url = urlOf(source);
  const answer = await fetch(url, { signal }).catch((cause: unknown) => {
    throw new LighterError("invalid", networkFailure("GET", url, cause).message, { cause });
  });
  if (answer.ok && answer.body !== null) return answer.body;
  const why = (await answer.text()).slice(0, 1024);
  throw new LighterError("invalid", `failed to GET ${url} with status ${answer.status} ${answer.statusText}: ${why}`);
}

/** Everything about one image. */
export async function inspect(call: Call): Promise<Answer> {
  const platform = platformOf(call);
  const manifests = call.query.flag("manifests");
  if (platform !== undefined && manifests)
    throw new LighterError("invalid", "conflicting options: manifests and platform options cannot both be set");
  return json(await call.engine.images.inspect(param(call, "name"), { manifests, ...(platform && { platform }) }));
}

/** What an image carries about itself. */
export async function attestations(call: Call): Promise<Answer> {
  const { query } = call;
  const platform = platformOf(call);
  const types = query.list("type").flatMap((text) => text.split(",").filter(Boolean));
  return json(
    await call.engine.images.attestations(param(call, "name"), {
      types,
      statements: query.flag("statement"),
      ...(platform && { platform }),
    }),
  );
}

/** The steps an image was made by. */
export async function history(call: Call): Promise<Answer> {
  const platform = platformOf(call);
  return json(await call.engine.images.history(param(call, "name"), platform ? { platform } : {}));
}

/** Pushes an image, telling its progress. */
export async function push(call: Call): Promise<Answer> {
  const name = param(call, "name");
  const tag = call.query.text("tag");
  const platform = platformOf(call);
  const credentials = registryAuth(call);
  const reference = tag === undefined ? name : `${name}:${tag}`;
  parseReference(reference);
  const allTags = tag === undefined && isBareName(name);
  const { signal } = call;
  return progressAnswer((progress) =>
    call.engine.images.push(reference, { progress, signal, allTags, ...(platform && { platform }), ...(credentials && { credentials }) }),
  );
}

/** Gives an image a further name. */
export async function tag(call: Call): Promise<Answer> {
  const repository = call.query.text("repo") ?? "";
  const name = call.query.text("tag");
  if (repository === "") throw new LighterError("invalid", "invalid reference format");
  await call.engine.images.tag(param(call, "name"), name === undefined ? { repository } : { repository, tag: name });
  return done(201);
}

/** Removes a name, and the image with its last one. */
export async function remove(call: Call): Promise<Answer> {
  const { query } = call;
  const platforms = platformsOf(query.list("platforms"));
  return json(
    await call.engine.images.remove(param(call, "name"), {
      force: query.flag("force"),
      noPrune: query.flag("noprune"),
      ...(platforms && { platforms }),
    }),
  );
}

/** Removes images that nothing uses. */
export async function prune(call: Call): Promise<Answer> {
  const { deleted, bytes } = await call.engine.images.prune(call.query.filters(["dangling", "label", "label!", "until"]));
  return json({ ImagesDeleted: orNull(deleted), SpaceReclaimed: bytes });
}

/** One image (by the path) or several (`names`) as one tar stream. */
export async function save(call: Call): Promise<Answer> {
  const { query, signal } = call;
  const names = call.params["name"] === undefined ? query.list("names").flatMap((text) => text.split(",")) : [param(call, "name")];
  if (names.length === 0) throw new LighterError("invalid", "no image names given");
  const platforms = platformsOf(query.list("platform"));
  const tar = await call.engine.images.save(names, { signal, ...(platforms && { platforms }) });
  return { status: 200, headers: { "Content-Type": "application/x-tar" }, stream: (out) => pour(tar, out, signal) };
}

/** Loads images of a tar stream, telling their progress. */
export async function load(call: Call): Promise<Answer> {
  const { query, signal } = call;
  const platforms = platformsOf(query.list("platform"));
  const archive = call.body.stream();
  return progressAnswer((progress) =>
    call.engine.images.load(archive, { progress, signal, quiet: query.flag("quiet"), ...(platforms && { platforms }) }),
  );
}

/** `linux/arm64`: the query `platform` as text, or as the JSON of newer clients. */
function platformOf(call: Call): string | undefined {
  return platformsOf(call.query.list("platform"))?.[0];
}

function platformsOf(values: string[]): string[] | undefined {
  const platforms = values.filter((value) => value !== "").map(platformText);
  return platforms.length === 0 ? undefined : platforms;
}

function platformText(value: string): string {
  if (!value.startsWith("{")) return value;
  try {
    const { os, architecture, variant } = JSON.parse(value) as Partial<Platform>;
    return [os ?? "linux", architecture, variant].filter((part) => part !== undefined && part !== "").join("/");
  } catch (cause) {
    throw new LighterError("invalid", `failed to parse platform: ${(cause as Error).message}`, { cause });
  }
}
