import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { newId, shortId } from "../base/ids.ts";
import { familiarName, familiarReference, parseReference, type Reference } from "../base/reference.ts";
import { copyTree, packParts, type PackedPart } from "../content/trees.ts";
import type { Credentials, Distribution, Repository } from "../distribution/distribution.ts";
import { Heard } from "../distribution/warnings.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Descriptor } from "../oci/image.ts";
import { appendEvent } from "../state/events.ts";
import { LayerProgress } from "../wire/layer-progress.ts";
import type { ProgressSink } from "../wire/progress.ts";
import { configOf, manifestOf } from "./artifact.ts";
import { withFilesOfItsOwn, type Freeze } from "./backup.ts";
import type { VolumeShop } from "./drafts.ts";
import * as rows from "./rows.ts";

/** How a volume is sent to a registry. */
export interface PushOptions {
  credentials?: Credentials;
  freeze?: Freeze;
  progress: ProgressSink;
  signal?: AbortSignal;
}

interface PushContext extends PushOptions {
  shop: VolumeShop;
  distribution: Distribution;
  /** Called when the volume itself is not read any more. */
  release: () => void;
}

const DATA = "_data";

/**
 * Sends a volume to a registry as an artifact: its files in archives that lie beside the volumes until they are sent, then what it is like, then the manifest.
 * Archives that the registry has are not sent again. With `freeze` the files are of one moment.
 */
export async function pushVolume(context: PushContext, row: rows.VolumeRow, text: string): Promise<void> {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw new LighterError("invalid", "cannot push a digest reference");
  const { shop, progress, signal } = context;
  const heard = new Heard();
  const repository = repositoryFor(context, reference, heard);
  progress({ status: `The push refers to repository [${familiarName(reference)}]` });
  const room = `.push-${shortId(newId())}`;
  const directory = join(shop.root, room);
  shop.state.write((tx) => rows.insertRemoval(tx, room), { durable: false });
  try {
    await mkdir(join(directory, "parts"), { recursive: true, mode: 0o700 });
    const parts = await sendParts(context, repository, { data: await filesOf(context, row, directory), into: join(directory, "parts") });
    const { bytes, mediaType } = configOf({ ...row, ...withFilesOfItsOwn(row) });
    const config: Descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
    await repository.upload({ ...config, open: (offset) => new Blob([bytes.slice(offset)]).stream(), ...(signal && { signal }) });
    const tag = reference.tag ?? "latest";
    const manifest = manifestOf(config, parts);
    const digest = await repository.putManifest(tag, manifest, MEDIA.ociManifest, signal ? { signal } : {});
    heard.tell(progress);
    progress({ status: `${tag}: digest: ${digest} size: ${manifest.length}` });
    progress({ aux: { Tag: tag, Digest: digest, Size: manifest.length } });
    const attributes = { driver: row.driver, reference: familiarReference(reference) };
    shop.state.write((tx) => appendEvent(tx, { type: "volume", action: "push", actor: row.name, attributes }), { durable: false });
  } finally {
    heard.tell(progress);
    await shop.content.discard(directory);
    shop.state.write((tx) => rows.deleteRemoval(tx, room), { durable: false });
  }
}

function repositoryFor({ distribution, credentials }: PushContext, reference: Reference, heard: Heard): Repository {
  const repository = distribution.repository(reference, { push: true, warned: heard.hear, ...(credentials && { credentials }) })[0];
  if (repository === undefined) throw new LighterError("internal", "no address to push to");
  return repository;
}

/** Where the files are to be read: the volume itself, or a copy of one moment. */
async function filesOf({ shop, freeze, release }: PushContext, row: rows.VolumeRow, directory: string): Promise<string> {
  const data = join(shop.root, row.name, DATA);
  if (freeze === undefined) return data;
  const target = join(directory, "copy");
  await mkdir(target, { mode: 0o700 });
  await freeze(async () => void (await copyTree({ root: data, path: "/", target })));
  release();
  return target;
}

/** Packs and sends at the same time. The first failure ends all of it. */
async function sendParts(
  { distribution, progress, signal }: PushContext,
  repository: Repository,
  { data, into }: { data: string; into: string },
): Promise<PackedPart[]> {
  const failed = new AbortController();
  const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const sending = new Set<Promise<void>>();
  const parts: PackedPart[] = [];
  let failure: unknown;
  try {
    for await (const part of packParts({ root: data, path: "/", name: DATA, holes: true, into }, { signal: stop })) {
      parts.push(part);
      const one = send(repository, part, progress, stop)
        .catch((error: unknown) => {
          failure ??= error;
          failed.abort();
        })
        .finally(() => sending.delete(one));
      sending.add(one);
      if (sending.size >= Math.max(1, distribution.limits.uploads)) await Promise.race(sending);
      if (stop.aborted) break;
    }
  } catch (error) {
    failure ??= error;
    failed.abort();
  }
  await Promise.all(sending);
  if (failure !== undefined) throw failure;
  signal?.throwIfAborted();
  return parts;
}

async function send(repository: Repository, { path, digest, size }: PackedPart, sink: ProgressSink, signal: AbortSignal): Promise<void> {
  const progress = new LayerProgress(shortId(digest), sink);
  progress.state("Preparing");
  const outcome = await repository.upload({
    digest,
    size,
    open: (offset) => Bun.file(path).slice(offset).stream(),
    progress: (done) => progress.bytes("Pushing", done, size),
    signal,
  });
  await rm(path, { force: true });
  progress.state(outcome === "exists" ? "Layer already exists" : "Pushed");
}
