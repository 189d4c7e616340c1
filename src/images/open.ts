import type { Content } from "../content/content.ts";
import type { Distribution } from "../distribution/distribution.ts";
import { now } from "../base/clock.ts";
import { shortId } from "../base/ids.ts";
import type { Reference } from "../base/reference.ts";
import type { Digest, ImageConfig } from "../oci/image.ts";
import { appendPrune } from "../state/events.ts";
import type { State, Tx } from "../state/state.ts";
import { attestationsOf } from "./attestations.ts";
import { commitImage, nameImage } from "./commit.ts";
import type { DescribeContext } from "./describe.ts";
import { Documents } from "./documents.ts";
import { Downloads } from "./downloads.ts";
import { tryFindImage } from "./find.ts";
import type { Images, RunnableImage } from "./images.ts";
import { ImageExchange } from "./exchange.ts";
import { collectImages } from "./gc.ts";
import { importImage } from "./import.ts";
import { imageHistory, inspectImage } from "./inspect.ts";
import { configOf, listImages } from "./list.ts";
import { loadImages } from "./load.ts";
import type { ImagesNeeds } from "./needs.ts";
import { addPin, pinsOf, removePin } from "./pins.ts";
import { pruneImages } from "./prune.ts";
import { pull } from "./pull.ts";
import { push } from "./push.ts";
import { recordImage, type PresentImage } from "./record.ts";
import { inspectRemote } from "./remote.ts";
import { removeImage, removePlatforms, type RemoveContext } from "./remove.ts";
import { countImages } from "./rows.ts";
import { findRunnable, platformFrom } from "./runnable.ts";
import { saveImages } from "./save.ts";
import { searchImages } from "./search.ts";
import { Sources } from "./sources.ts";
import { tagImage } from "./tag.ts";
import type { PolicyFile } from "./verify.ts";

/** What images stand on. */
export interface ImagesOptions {
  state: State;
  content: Content;
  distribution: Distribution;
  needs: ImagesNeeds;
  /** Where the policy for signatures stands; without it, nothing looks at them. */
  signaturePolicy?: PolicyFile;
}

/** Where nothing says otherwise; need not be there. */
const DEFAULT_POLICY: PolicyFile = { path: "/etc/lighter/signature-policy.json", required: false };

/** How many look-ups are remembered until the next change of a name. */
const REMEMBERED = 1024;

/** Opens the images of a state and a content store. */
export function openImages({ state, content, distribution, needs, signaturePolicy = DEFAULT_POLICY }: ImagesOptions): Images {
  const documents = new Documents(content);
  const runnables = new Map<string, RunnableImage>();
  /** Which image a name means, empty for what is no name. */
  const meanings = new Map<string, Digest | "">();
  const descriptors = new Map<Digest, ReturnType<Images["descriptor"]>>();
  const changed = (): void => {
    descriptors.clear();
    runnables.clear();
    meanings.clear();
  };
  const users = needs.users;
  const context: DescribeContext & RemoveContext = { state, content, documents, users, changed };
  const pulling = {
    state,
    content,
    sources: new Sources(distribution, needs.builtin),
    policy: signaturePolicy,
    downloads: new Downloads(content, distribution.limits),
    changed,
  };
  const collect = coalesce(() => content.collect());

  /** The configuration of an image, for the labels of its events; whether there is one is for others to say. */
  async function labelled(reference: string): Promise<ImageConfig | undefined> {
    const found = tryFindImage(state, reference);
    return found === undefined ? undefined : await configOf(context, found.image).catch(() => undefined);
  }

  /** What a failure leaves goes at once: the disk may be full of it. */
  async function orCollect<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      await collect().catch(() => undefined);
      throw error;
    }
  }

  async function runnable(reference: string, options: { platform?: string; signal?: AbortSignal } = {}): Promise<RunnableImage> {
    const key = `${reference} ${options.platform ?? ""}`;
    const known = runnables.get(key);
    if (known !== undefined) return known;
    const found = await findRunnable(context, reference, options);
    if (runnables.size >= REMEMBERED) runnables.clear();
    // A change while it was read has emptied the cache: what was found before it must not stay.
    if (tryFindImage(state, reference)?.image.id === found.id) runnables.set(key, found);
    return found;
  }

  function displayName(reference: string, id: Digest): string {
    let means = meanings.get(reference);
    if (means === undefined) {
      if (meanings.size >= REMEMBERED) meanings.clear();
      const found = tryFindImage(state, reference);
      meanings.set(reference, (means = found?.name === undefined ? "" : found.image.id));
    }
    return means === id ? reference : shortId(id);
  }

  function descriptor(manifest: Digest): ReturnType<Images["descriptor"]> {
    const known = descriptors.get(manifest);
    if (known !== undefined) return known;
    const blob = content.blob(manifest);
    if (blob === undefined) return undefined;
    const row = state.get<{ platform: string }>("SELECT platform FROM image_manifests WHERE manifest = ? LIMIT 1", manifest);
    const { mediaType, digest, size } = blob;
    const found = row === undefined ? { mediaType, digest, size } : { mediaType, digest, size, platform: platformFrom(row.platform) };
    if (descriptors.size >= REMEMBERED) descriptors.clear();
    descriptors.set(manifest, found);
    return found;
  }

  function record(tx: Tx, image: PresentImage, names: readonly Reference[]): void {
    recordImage(tx, content, image);
    nameImage(tx, image.target.digest, names, image.manifests[0]?.config);
    tx.afterCommit(changed);
  }

  return {
    runnable,
    displayName,
    touch(tx, id) {
      tx.run("UPDATE images SET last_used = ? WHERE id = ?", now(), id);
      for (const { chain_id: chainId } of tx.all<{ chain_id: Digest }>("SELECT chain_id FROM image_manifests WHERE image = ?", id))
        content.touch(tx, chainId);
    },
    list: (options) => listImages(context, options),
    inspect: (reference, options = {}) => inspectImage(context, reference, options),
    attestations: (reference, options = {}) => attestationsOf(context, reference, options),
    remote: (reference, options = {}) => inspectRemote(pulling.sources, reference, options),
    search: (text, options) => searchImages(distribution, text, options),
    history: (reference, options = {}) => imageHistory(context, reference, options.platform),
    pull: (reference, options) => pull(pulling, reference, options),
    gc: (policy, options) => collectImages({ ...context, collect }, policy, options),
    pins: { list: () => pinsOf(state), add: (pattern) => addPin(state, pattern), remove: (pattern) => removePin(state, pattern) },
    exchange: new ImageExchange({ state, content, changed }),
    push: (reference, options) => push({ state, content, documents, distribution }, reference, options),
    tag: async (source, target) => tagImage(context, source, target, await labelled(source)),
    async remove(reference, { force, noPrune: _parents, platforms = [] }) {
      const config = await labelled(reference);
      const records =
        platforms.length > 0
          ? removePlatforms(context, reference, platforms, force, config)
          : removeImage(context, reference, force, config);
      if (records.some((record) => record.Deleted !== undefined)) await collect();
      return records;
    },
    async prune(filters) {
      const deleted = await pruneImages(context, filters);
      const { bytes } = await collect();
      state.write((tx) => appendPrune(tx, "image", bytes), { durable: false });
      return { deleted, bytes };
    },
    save: (references, options = {}) => saveImages(context, references, options),
    load: (archive, options) => orCollect(loadImages(context, archive, options)),
    import: (archive, options) => orCollect(importImage(context, archive, options)),
    commit: (options) => orCollect(commitImage({ ...context, record }, options)),
    record,
    login: (registry, credentials) => distribution.login(registry, credentials),
    count: () => countImages(state),
    descriptor,
  };
}

/** Calls that come while one runs share the next run. */
function coalesce<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;
  const begin = (): Promise<T> => {
    const mine = run().finally(() => {
      if (running === mine) running = undefined;
    });
    return (running = mine);
  };
  return () => {
    if (running === undefined) return begin();
    const after = (): Promise<T> => {
      next = undefined;
      return begin();
    };
    return (next ??= running.then(after, after));
  };
}
