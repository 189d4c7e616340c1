import { LighterError } from "../base/errors.ts";
import { familiarName, familiarReference, formatReference, parseReference, type Reference } from "../base/reference.ts";
import type { Content } from "../content/content.ts";
import type { Credentials, RegistryHost } from "../distribution/distribution.ts";
import { Heard } from "../distribution/warnings.ts";
import type { Digest, Platform } from "../oci/image.ts";
import { hostPlatform, parsePlatform } from "../oci/platform.ts";
import type { State } from "../state/state.ts";
import type { ProgressSink } from "../wire/progress.ts";
import { noteSources } from "./blob-sources.ts";
import type { Downloads } from "./downloads.ts";
import { fetchDocuments } from "./fetch-image.ts";
import { fetchLayers } from "./fetch-layers.ts";
import { transferEvent } from "./image-events.ts";
import { recordImage } from "./record.ts";
import { nameRow, putName } from "./rows.ts";
import type { Source, Sources } from "./sources.ts";
import { verifySource, type PolicyFile, type VerifyRequest } from "./verify.ts";

/** What a pull works with. */
export interface PullContext {
  state: State;
  content: Content;
  sources: Sources;
  downloads: Downloads;
  /** Whose signatures images must bear. */
  policy: PolicyFile;
  /** Called in the same turn as the commit: what was cached of names is stale. */
  changed: () => void;
}

/** As `Images.pull` takes them. */
export interface PullOptions {
  platform?: string;
  credentials?: Credentials;
  allTags?: boolean;
  /** Ask there, and not the registry that the name says. */
  host?: RegistryHost;
  /** Signatures are wanted, whatever the daemon's policy says. */
  verify?: VerifyRequest;
  progress: ProgressSink;
  signal?: AbortSignal;
}

interface Pulling extends PullOptions {
  heard: Heard;
}

/** Tags of signatures, attestations and lists of referrers: they are no images, but say something about one. */
const ABOUT_OTHERS = /^sha256-[0-9a-f]{64}(?:\.[a-z]+)?$/;

/** Pulls an image, or all tags of a repository, and stores its rows in one transaction at the end. */
export async function pull(context: PullContext, text: string, options: PullOptions): Promise<void> {
  const heard = new Heard();
  try {
    await pullNames(context, text, { ...options, heard });
  } finally {
    heard.tell(options.progress);
  }
}

async function pullNames(context: PullContext, text: string, options: Pulling): Promise<void> {
  const reference = parseReference(text);
  const { progress } = options;
  const close = (news: News, name: string): void =>
    progress({ status: `Status: ${news === "known" ? "Image is up to date for" : "Downloaded newer image for"} ${name}` });
  if (options.allTags !== true) return close(await pullOne(context, reference, options), familiarReference(reference));
  if (reference.digest !== undefined || /:[^/]+$/.test(text)) throw new LighterError("invalid", "tag can't be used with --all-tags/-a");
  const tags = await context.sources.tags(askOf(reference, options));
  let all: News = "known";
  for (const tag of tags.filter((each) => !ABOUT_OTHERS.test(each)))
    if ((await pullOne(context, { ...reference, tag }, options)) === "new") all = "new";
  close(all, familiarName(reference));
}

/** Whether a pull brought anything. */
type News = "new" | "known";

async function pullOne(context: PullContext, reference: Reference, options: Pulling): Promise<News> {
  const wanted: Platform = options.platform ? parsePlatform(options.platform) : hostPlatform();
  const source = await context.sources.open(askOf(reference, options));
  const verified = await verifySource(context.policy, reference, source, options.verify, options.signal);
  const { progress } = options;
  progress({ status: `Pulling from ${reference.repository}`, id: askedAs(reference) });
  if (source.notice !== undefined) progress({ status: source.notice });
  for (const status of verified) progress({ status });
  const news = await transfer(context, reference, source, { ...options, wanted });
  options.heard.tell(progress);
  progress({ status: `Digest: ${source.target.digest}` });
  return news;
}

/** Docker names what is pulled by its tag, or by all of the name where that has a digest. */
function askedAs({ tag = "latest", ...reference }: Reference): string {
  return reference.digest === undefined ? tag : familiarReference(reference);
}

async function transfer(
  context: PullContext,
  reference: Reference,
  source: Source,
  options: PullOptions & { wanted: Platform },
): Promise<News> {
  const { state, content } = context;
  const signal = options.signal ?? new AbortController().signal;
  using lease = content.lease(`pull ${familiarReference(reference)}`);
  const strict = options.platform !== undefined && options.platform !== "";
  const { image, chosen } = await fetchDocuments({ content, lease, source, reference, wanted: options.wanted, strict, signal });
  const id: Digest = image.target.digest;
  const known = isKnown(state, reference, id, chosen.descriptor.digest);
  await fetchLayers({ content, downloads: context.downloads, lease, source, progress: options.progress, signal, known }, chosen);
  if (signal.aborted) throw new LighterError("cancelled", "context canceled");
  state.write(
    (tx) => {
      recordImage(tx, content, image);
      if (options.host === undefined) noteSources(tx, reference, id);
      putName(tx, nameOf(reference), id);
      transferEvent(tx, "pull", reference, chosen.config);
      tx.afterCommit(context.changed);
    },
    { durable: true },
  );
  return known ? "known" : "new";
}

/** A pull by digest is stored under the digest alone, as Docker does. */
function nameOf({ registry, repository, tag, digest }: Reference): Reference {
  if (digest !== undefined) return { registry, repository, digest };
  return { registry, repository, tag: tag ?? "latest" };
}

function isKnown(state: State, reference: Reference, id: Digest, manifest: Digest): boolean {
  if (nameRow(state, formatReference(nameOf(reference)))?.image !== id) return false;
  return state.get("SELECT 1 FROM image_manifests WHERE image = ? AND manifest = ?", id, manifest) !== undefined;
}

function askOf(reference: Reference, { credentials, signal, host, heard }: Pulling): Parameters<Sources["open"]>[0] {
  return { reference, credentials, signal, host, warned: heard.hear };
}
