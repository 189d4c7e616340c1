import { digestOf } from "../oci/digest.ts";
import { isIndex, isManifest, type Descriptor, type Digest, type Index, type Manifest } from "../oci/image.ts";
import { answer, answerBytes, refuse } from "./answers.ts";
import type { Call, RegistryContext } from "./routes.ts";
import { deleteLink, deleteTag, hasRepository, linkRow, putLink, putTag, tagDigest } from "./rows.ts";

const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** As the specification asks registries to accept at least, and as docker's own limits. */
const MAX_MANIFEST = 4 << 20;

/** GET and HEAD of a manifest by tag or digest. */
export async function getManifest({ state, content }: RegistryContext, { request, repository, target }: Call): Promise<Response> {
  const digest = target.includes(":") ? target : tagDigest(state, repository, target);
  const link = digest === undefined ? undefined : linkRow(state, repository, digest);
  const blob = link?.kind === "manifest" ? content.blob(link.digest) : undefined;
  if (link === undefined || blob === undefined) {
    return hasRepository(state, repository) ? refuse("MANIFEST_UNKNOWN", target) : refuse("NAME_UNKNOWN", repository);
  }
  const headers = { "docker-content-digest": blob.digest, "content-type": link.media_type, etag: `"${blob.digest}"` };
  if (request.method === "HEAD") return answer(200, { ...headers, "content-length": String(blob.size) });
  return answerBytes(new Uint8Array(await content.readBlob(blob.digest)), 200, headers);
}

/** PUT of a manifest by tag or digest: all that it refers to must be here, so that every tag pulls whole. */
export async function putManifest({ state, content }: RegistryContext, { request, repository, target }: Call): Promise<Response> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_MANIFEST)
    return refuse("MANIFEST_INVALID", `larger than ${MAX_MANIFEST} bytes`);
  const bytes = new Uint8Array(await request.arrayBuffer());
  const digest = digestOf(bytes);
  if (target.includes(":") ? target !== digest : !TAG.test(target))
    return refuse(target.includes(":") ? "DIGEST_INVALID" : "TAG_INVALID", target);
  const parsed = parse(bytes, request.headers.get("content-type")?.split(";")[0]?.trim() ?? "");
  if (parsed === undefined) return refuse("MANIFEST_INVALID");
  const missing = parsed.needs.find((child) => linkRow(state, repository, child) === undefined || content.blob(child) === undefined);
  if (missing !== undefined) return refuse("MANIFEST_BLOB_UNKNOWN", missing);
  using lease = content.lease(`push ${repository}`);
  await content.writeBlob(bytes, parsed.mediaType, lease);
  state.write(
    (tx) => {
      content.setEdges(tx, digest, [...new Set(parsed.needs)]);
      putLink(tx, { repository, digest, kind: "manifest", media_type: parsed.mediaType });
      if (!target.includes(":")) putTag(tx, repository, target, digest);
    },
    { durable: true },
  );
  return answer(201, { location: `/v2/${repository}/manifests/${digest}`, "docker-content-digest": digest });
}

/** DELETE of a tag, or of a manifest with all its tags. */
export function deleteManifest({ state }: RegistryContext, { repository, target }: Call): Response {
  const done = state.write(
    (tx) => {
      if (!target.includes(":")) return deleteTag(tx, repository, target);
      if (linkRow(tx, repository, target)?.kind !== "manifest") return false;
      deleteLink(tx, repository, target);
      return true;
    },
    { durable: true },
  );
  return done ? answer(202) : refuse("MANIFEST_UNKNOWN", target);
}

/** Kind and references of a manifest; undefined for what is none. Layers with addresses of their own need not be here. */
function parse(bytes: Uint8Array, told: string): { mediaType: string; needs: Digest[] } | undefined {
  try {
    const document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Manifest & Index;
    const mediaType = document.mediaType ?? told;
    if (document.schemaVersion !== 2 || mediaType !== told || !(isIndex(mediaType) || isManifest(mediaType))) return undefined;
    const layers = (): Descriptor[] => [document.config, ...(document.layers ?? []).filter((layer) => !layer.urls?.length)];
    const needs = (isIndex(mediaType) ? document.manifests : layers()).map((each) => each.digest);
    return needs.every((digest) => DIGEST.test(digest)) ? { mediaType, needs } : undefined;
  } catch {
    // A document of another shape fails somewhere above: all of that is one answer.
    return undefined;
  }
}
