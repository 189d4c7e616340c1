import { kindOf, LighterError } from "../base/errors.ts";
import { parseReference, type Reference } from "../base/reference.ts";
import type { Digest } from "../oci/image.ts";
import { pour } from "./archive.ts";
import { done, param, type Answer, type Call } from "./call.ts";
import { progressAnswer } from "./progress-answer.ts";

/** As registries limit manifests. */
const MOST_MANIFEST = 4 << 20;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const UPLOAD = /^(?:[0-9a-f]{64}|new-[0-9a-f-]{36})$/;
const VERSION = { "docker-distribution-api-version": "registry/2.0" };
/** Below this, with the registry of the name after it, is the distribution protocol. */
const ROOT = "http://lighter/lighter/exchange/";

/** A request for a repository: the rest of its path, taken apart. */
interface Asked {
  repository: Pick<Reference, "registry" | "repository">;
  kind: "manifests" | "blobs" | "uploads";
  /** Tag, digest, or an upload's id. */
  target: string;
}

/**
 * Ours: the daemon's images in the words of the distribution protocol, for another lighter that pushes here or pulls from here through ssh.
 * `/lighter/exchange/{registry}/v2/{repository}/...`
 */
export async function exchange(call: Call, method: string): Promise<Answer> {
  const asked = take(param(call, "rest"));
  if (asked === undefined) return { status: 200, headers: VERSION, json: {} };
  try {
    if (asked.kind === "manifests") return method === "PUT" ? await putManifest(call, asked) : await getManifest(call, asked, method);
    if (asked.kind === "blobs") return getBlob(call, asked, method);
    return await upload(call, asked, method);
  } catch (error) {
    // Another connection is still writing to it: most likely the one that broke.
    if (kindOf(error) === "conflict") return { status: 503, headers: { "Retry-After": "1" }, json: refusal("CONFLICT", error) };
    if (kindOf(error) === "invalid") return { status: 400, json: refusal("DIGEST_INVALID", error) };
    throw error;
  }
}

function take(rest: string): Asked | undefined {
  const match = /^([^/]+)\/v2\/(?:(.+)\/(manifests|blobs\/uploads|blobs)\/([^/]*))?$/.exec(rest);
  if (match === null) {
    if (rest === "v2/") return undefined;
    throw new LighterError("not-found", "page not found");
  }
  const [, registry = "", path, kind = "", target = ""] = match;
  if (path === undefined) return undefined;
  const { registry: known, repository } = parseReference(`${registry}/${path}`);
  return { repository: { registry: known, repository }, kind: kind.replace("blobs/", "") as Asked["kind"], target };
}

async function getManifest(call: Call, { repository, target }: Asked, method: string): Promise<Answer> {
  const images = call.engine.images.exchange;
  const found = images.manifest(repository, target);
  if (found === undefined) return { status: 404, json: refusal("MANIFEST_UNKNOWN", "manifest unknown") };
  const headers = {
    ...VERSION,
    "Content-Type": found.mediaType,
    "Docker-Content-Digest": found.digest,
    "Content-Length": String(found.size),
  };
  if (method === "HEAD") return { status: 200, headers };
  const bytes = await images.read(found.digest);
  return { status: 200, headers, stream: async (out) => void out.write(bytes) };
}

async function putManifest(call: Call, { repository, target }: Asked): Promise<Answer> {
  const bytes = await call.body.bytes(MOST_MANIFEST);
  const type = (call.header("content-type") ?? "").split(";")[0]?.trim() ?? "";
  const digest = await call.engine.images.exchange.putManifest(repository, target, bytes, type);
  return { status: 201, headers: { ...VERSION, "Docker-Content-Digest": digest } };
}

function getBlob(call: Call, { repository, target }: Asked, method: string): Answer {
  const blob = DIGEST.test(target) ? call.engine.images.exchange.blob(repository, target as Digest) : undefined;
  if (blob === undefined) return { status: 404, json: refusal("BLOB_UNKNOWN", "blob unknown to registry") };
  const [, first = "", last = ""] = /^bytes=(\d+)-(\d*)$/.exec(call.header("range") ?? "") ?? [];
  const start = first === "" ? 0 : Number(first);
  const end = last === "" ? blob.size : Math.min(blob.size, Number(last) + 1);
  if (first !== "" && start >= end) return { status: 416, headers: { "Content-Range": `bytes */${blob.size}` } };
  const headers = {
    ...VERSION,
    "Content-Type": "application/octet-stream",
    "Accept-Ranges": "bytes",
    "Content-Length": String(end - start),
  };
  if (method === "HEAD") return { status: 200, headers: { ...headers, "Content-Length": String(blob.size) } };
  const stream = Bun.file(blob.path).slice(start, end).stream();
  const answer = { status: 200, headers, stream: (out: Parameters<typeof pour>[1]) => pour(stream, out, call.signal) };
  return first === ""
    ? answer
    : { ...answer, status: 206, headers: { ...headers, "Content-Range": `bytes ${start}-${end - 1}/${blob.size}` } };
}

async function upload(call: Call, asked: Asked, method: string): Promise<Answer> {
  const images = call.engine.images.exchange;
  const { repository, target } = asked;
  if (method === "POST") return begin(call, asked);
  if (!UPLOAD.test(target)) return { status: 404, json: refusal("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry") };
  const ref = refOf(target);
  if (method === "GET") return { status: 204, headers: session(asked, target, await images.arrived(ref)) };
  if (method === "DELETE") {
    await images.drop(ref);
    return done(204);
  }
  if (method === "PUT") {
    const digest = call.query.text("digest") ?? "";
    if (!DIGEST.test(digest)) throw new LighterError("invalid", `Cannot end the upload: "${digest}" is not a digest`);
    await images.finish(repository, ref, digest as Digest, call.body.stream());
    return { status: 201, headers: { ...VERSION, "Docker-Content-Digest": digest } };
  }
  const start = /^(\d+)-\d+$/.exec(call.header("content-range") ?? "")?.[1];
  const arrived = await images.append(repository, ref, start === undefined ? undefined : Number(start), call.body.stream());
  if (arrived === undefined) return { status: 416, headers: session(asked, target, await images.arrived(ref)) };
  return { status: 202, headers: session(asked, target, arrived) };
}

/** A mount names the digest: what is here of it decides where the upload goes on. */
async function begin(call: Call, asked: Asked): Promise<Answer> {
  const images = call.engine.images.exchange;
  const digest = call.query.text("mount") ?? "";
  if (!DIGEST.test(digest)) {
    const id = `new-${crypto.randomUUID()}`;
    return { status: 202, headers: session(asked, id, await images.arrived(refOf(id))) };
  }
  if (images.blob(asked.repository, digest as Digest) !== undefined)
    return { status: 201, headers: { ...VERSION, "Docker-Content-Digest": digest } };
  const id = digest.slice("sha256:".length);
  return { status: 202, headers: session(asked, id, await images.arrived(refOf(id))) };
}

/** The name of an upload in the content store: a blob's digest, where a pull of the same blob finds it, too. */
function refOf(id: string): string {
  return id.startsWith("new-") ? `exchange-${id}` : `sha256:${id}`;
}

function session({ repository: { registry, repository } }: Asked, id: string, arrived: number): Record<string, string> {
  const path = `/lighter/exchange/${registry}/v2/${repository}/blobs/uploads/${id}`;
  return { ...VERSION, Location: path, Range: `0-${Math.max(0, arrived - 1)}`, "Docker-Upload-UUID": id };
}

function refusal(code: string, cause: unknown): { errors: { code: string; message: string }[] } {
  return { errors: [{ code, message: cause instanceof Error ? cause.message : String(cause) }] };
}

/** Ours: pushes an image to another daemon of ours, through a unix socket that leads to its API: `?name=&tag=&platform=&through=`. */
export async function pushThrough(call: Call): Promise<Answer> {
  const { reference, allTags, options } = transfer(call);
  return progressAnswer((progress) => call.engine.images.push(reference, { ...options, allTags, progress }));
}

/** Ours: pulls an image from another daemon of ours, through a unix socket that leads to its API. */
export async function pullThrough(call: Call): Promise<Answer> {
  const { reference, options } = transfer(call);
  return progressAnswer((progress) => call.engine.images.pull(reference, { ...options, progress }));
}

function transfer(call: Call) {
  const { query, signal } = call;
  const [name, tag, platform, through] = ["name", "tag", "platform", "through"].map((key) => query.text(key));
  if (name === undefined || through?.startsWith("/") !== true)
    throw new LighterError("invalid", "bad parameter: name and the path of a socket are needed");
  const reference = tag === undefined ? name : tag.includes(":") ? `${name}@${tag}` : `${name}:${tag}`;
  const { registry } = parseReference(reference);
  const host = { url: `${ROOT}${registry}`, unix: through, insecure: true };
  return { reference, allTags: tag === undefined, options: { host, signal, ...(platform && { platform }) } };
}
