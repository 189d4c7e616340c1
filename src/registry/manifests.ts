import { digestOf } from "../oci/digest.ts";
import type { Digest, Index } from "../oci/image.ts";
import type { Reader } from "../state/state.ts";
import { answer, answerBytes, refuse } from "./answers.ts";
import { askedBy } from "./asked-by.ts";
import { etagOf, notModified, refuseUnmet } from "./conditions.ts";
import { readManifestDocument, type ManifestDocument } from "./manifest-document.ts";
import { manifestInstead } from "./negotiate.ts";
import type { RegistryEvent } from "./notices.ts";
import { readShort } from "./receive.ts";
import { putReferrer } from "./referrers.ts";
import { algorithmOf, isTag } from "./references.ts";
import type { Call, RegistryContext } from "./routes.ts";
import { contentOf, deleteLink, deleteTag, hasRepository, linkRow, putLink, putTag, tagDigest, type LinkRow } from "./rows.ts";
import { writeTogether } from "./write-together.ts";

/** Registries should take manifests of at least 4 megabytes: these are all that this one takes, in bytes. */
const MAX_MANIFEST = 4 << 20;

/** How many tags one push by digest may set. */
const MAX_TAGS = 100;

/** GET and HEAD of a manifest by tag or digest. */
export async function getManifest(context: RegistryContext, call: Call): Promise<Response> {
  const { state, content } = context;
  const { request, repository, target } = call;
  const digest = target.includes(":") ? target : tagDigest(state, repository, target);
  const link = digest === undefined ? undefined : manifestLink(context, repository, digest);
  if (link === undefined) return hasRepository(state, repository) ? refuse("MANIFEST_UNKNOWN", target) : refuse("NAME_UNKNOWN", repository);
  const read = (): Promise<Uint8Array> => content.readBlob(contentOf(link));
  const instead = target.includes(":")
    ? undefined
    : await manifestInstead(request.headers.get("accept"), link.media_type, () => read().then(indexOf));
  if (instead !== undefined && manifestLink(context, repository, instead) !== undefined)
    return getManifest(context, { ...call, target: instead });
  const known = notModified(request, link.digest);
  if (known !== undefined) return known;
  const headers = {
    "docker-content-digest": link.digest,
    "content-type": link.media_type,
    "content-length": String(content.blob(contentOf(link))?.size),
    etag: etagOf(link.digest),
  };
  return request.method === "HEAD" ? answer(200, headers) : answerBytes(new Uint8Array(await read()), 200, headers);
}

function indexOf(bytes: Uint8Array): Index {
  return JSON.parse(new TextDecoder().decode(bytes)) as Index;
}

function manifestLink({ state, content }: RegistryContext, repository: string, digest: string): LinkRow | undefined {
  const link = linkRow(state, repository, digest);
  return link?.kind === "manifest" && content.blob(contentOf(link)) !== undefined ? link : undefined;
}

/** PUT of a manifest by tag or digest: all that it refers to must be here, so that every tag pulls whole. */
export async function putManifest(context: RegistryContext, call: Call): Promise<Response> {
  const { request, repository, target } = call;
  const bytes = await readShort(request, MAX_MANIFEST);
  if (bytes === undefined) return refuse("MANIFEST_TOO_LARGE", `at most ${MAX_MANIFEST} bytes`);
  const named = nameOf(call, bytes);
  if (named instanceof Response) return named;
  const document = readManifestDocument(bytes, request.headers.get("content-type")?.split(";")[0]?.trim() ?? "");
  if (typeof document === "string") return refuse("MANIFEST_INVALID", document);
  const unmet = (state: Reader): Response | undefined =>
    refuseUnmet(request, target.includes(":") ? undefined : tagDigest(state, repository, target));
  const refused = unmet(context.state) ?? (await store(context, { repository, bytes, document, asked: askedBy(call), unmet, ...named }));
  if (refused !== undefined) return refused;
  const headers: Record<string, string> = {
    location: `/v2/${repository}/manifests/${named.digest}`,
    "docker-content-digest": named.digest,
    etag: etagOf(named.digest),
  };
  if (document.subject !== undefined) headers["oci-subject"] = document.subject;
  if (target.includes(":") && named.tags.length > 0) headers["oci-tag"] = named.tags.join(", ");
  return answer(201, headers);
}

/** The digest that a manifest goes by, and the tags that it gets; or why it cannot be so. */
function nameOf({ url, target }: Call, bytes: Uint8Array): { digest: Digest; tags: string[] } | Response {
  if (!target.includes(":")) return isTag(target) ? { digest: digestOf(bytes), tags: [target] } : refuse("TAG_INVALID", target);
  const algorithm = algorithmOf(target);
  if (algorithm === undefined || target !== `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}`)
    return refuse("DIGEST_INVALID", target);
  const tags = [...new Set(url.searchParams.getAll("tag"))];
  if (tags.length > MAX_TAGS) return refuse("TOO_MANY_TAGS", `at most ${MAX_TAGS}`);
  const wrong = tags.find((tag) => !isTag(tag));
  return wrong === undefined ? { digest: target as Digest, tags } : refuse("TAG_INVALID", wrong);
}

interface Pushed {
  repository: string;
  bytes: Uint8Array;
  document: ManifestDocument;
  digest: Digest;
  tags: readonly string[];
  asked: ReturnType<typeof askedBy>;
  /** Why the push is not for what is here now. */
  unmet: (state: Reader) => Response | undefined;
}

/** Stores a manifest with its tags in one step; or the refusal where something that it needs is missing, or its tag has moved meanwhile. */
async function store({ state, content, services }: RegistryContext, pushed: Pushed): Promise<Response | undefined> {
  const { repository, bytes, document, digest, tags, asked, unmet } = pushed;
  using lease = content.lease(`push ${repository}`);
  const needs = document.needs.map((child) => ({ child, link: linkRow(state, repository, child) }));
  // Held before they are looked at: a collection in between must not take them.
  for (const { link } of needs) if (link !== undefined) lease.addBlob(contentOf(link));
  const missing = needs.filter(({ link }) => link === undefined || content.blob(contentOf(link)) === undefined);
  if (missing.length > 0) return refuseMissing(missing.map(({ child }) => child));
  const { digest: stored } = await content.writeBlob(bytes, document.mediaType, lease);
  const children = new Set(needs.flatMap(({ link }) => (link === undefined ? [] : [contentOf(link)])));
  let refused: Response | undefined;
  await writeTogether(state, (tx) => {
    refused = unmet(tx);
    if (refused !== undefined) return;
    content.setEdges(tx, stored, [...children]);
    putLink(tx, { repository, digest, kind: "manifest", media_type: document.mediaType, content: stored === digest ? null : stored });
    putReferrer(tx, repository, digest, bytes.length, document);
    for (const tag of tags) putTag(tx, repository, tag, digest);
    const event: RegistryEvent = { action: "push", repository, digest, mediaType: document.mediaType, size: bytes.length, ...asked };
    for (const named of tags.length === 0 ? [{}] : tags.map((tag) => ({ tag }))) services?.record(tx, { ...event, ...named });
  });
  return refused;
}

/** One error for each that is missing. */
function refuseMissing(missing: readonly Digest[]): Response {
  const [first, ...others] = missing.map((digest) => ({ digest }));
  return refuse("MANIFEST_BLOB_UNKNOWN", others.length === 0 ? first : [first, ...others]);
}

/** DELETE of a tag, or of a manifest with all its tags. */
export function deleteManifest({ state, services }: RegistryContext, call: Call): Response {
  const { repository, target } = call;
  if (target.includes(":") ? algorithmOf(target) === undefined : !isTag(target))
    return refuse(target.includes(":") ? "DIGEST_INVALID" : "TAG_INVALID", target);
  const done = state.write(
    (tx) => {
      const isTagged = !target.includes(":");
      if (isTagged ? !deleteTag(tx, repository, target) : linkRow(tx, repository, target)?.kind !== "manifest") return false;
      if (!isTagged) deleteLink(tx, repository, target);
      services?.record(tx, { action: "delete", repository, ...(isTagged ? { tag: target } : { digest: target }), ...askedBy(call) });
      return true;
    },
    { durable: true },
  );
  if (done) return answer(202);
  return hasRepository(state, repository) ? refuse("MANIFEST_UNKNOWN", target) : refuse("NAME_UNKNOWN", repository);
}
