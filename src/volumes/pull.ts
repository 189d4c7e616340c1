import { lstat, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { shortId } from "../base/ids.ts";
import { familiarName, familiarReference, parseReference, type Reference } from "../base/reference.ts";
import { unpackTree } from "../content/trees.ts";
import type { Credentials, Distribution, Repository } from "../distribution/distribution.ts";
import { Heard } from "../distribution/warnings.ts";
import { MEDIA, type Descriptor } from "../oci/image.ts";
import { appendEvent } from "../state/events.ts";
import { LayerProgress } from "../wire/layer-progress.ts";
import type { ProgressSink } from "../wire/progress.ts";
import { noVolume, readConfig, readManifest, type Description } from "./artifact.ts";
import { blobPieces, type PiecesOptions } from "./blob-pieces.ts";
import { makeFilled, type VolumeShop } from "./drafts.ts";
import { isEmpty } from "./populate.ts";
import * as rows from "./rows.ts";

/** How a volume is fetched from a registry. */
export interface PullOptions {
  /** What it is to be called; left out, as it was where it comes from. */
  name?: string;
  /** Take the place of what is in the volume of that name. */
  force?: boolean;
  credentials?: Credentials;
  progress: ProgressSink;
  signal?: AbortSignal;
}

interface PullContext extends PullOptions {
  shop: VolumeShop;
  distribution: Distribution;
  /** Bytes that one part may unpack to; undefined: only what is out of proportion is refused. */
  mostUnpacked: number | undefined;
  /** Throws `conflict` while somebody reads the volume's files. */
  refuseRead: (name: string) => void;
}

interface Source {
  repositories: Repository[];
  config: Descriptor;
  layers: Descriptor[];
  digest: string;
}

const DATA = "_data";

/**
 * Makes a volume of an artifact in a registry. It is there when all of it is; before, and after whatever failure, nothing is. A volume of the name that is there
 * keeps its labels and options and gets the files: throws `conflict` where it has some and `force` is not given, or a container has it.
 */
export async function pullVolume(context: PullContext, text: string): Promise<rows.VolumeRow> {
  const { shop, progress, distribution, force = false } = context;
  const signal = context.signal ?? new AbortController().signal;
  const reference = parseReference(text);
  if (context.name !== undefined) await refuse(shop, context.name, force);
  const heard = new Heard();
  const source = await find(context, reference, heard).finally(() => heard.tell(progress));
  const options = { repositories: source.repositories, attempts: distribution.limits.attempts, signal };
  const pieces = await Array.fromAsync(blobPieces(source.config, { ...options, progress: () => undefined }));
  const like = readConfig(Buffer.concat(pieces), familiarReference(reference));
  const name = context.name ?? like.name;
  const there = await refuse(shop, name, force);
  progress({ id: reference.digest ?? reference.tag ?? "", status: `Pulling from ${familiarName(reference)}` });
  const steps = source.layers.map((layer) => ({ layer, told: new LayerProgress(shortId(layer.digest), progress) }));
  for (const { told } of steps) told.state("Waiting");
  const fill = async (directory: string): Promise<Pick<rows.VolumeRow, "driver" | "config">> => {
    // Archives of others may not say what their directories are like.
    await mkdir(join(directory, DATA), { mode: 0o755 });
    for (const { layer, told } of steps) {
      const counted = { ...options, progress: (done: number) => told.bytes("Downloading", done, layer.size) };
      await unpackWhole(directory, layer, { ...counted, most: context.mostUnpacked });
      told.state("Pull complete");
    }
    await refuseOthers(directory, reference);
    return there ?? ownOf(like);
  };
  const row = await makeFilled(shop, name, fill, there === undefined ? {} : { replaces: () => context.refuseRead(name) });
  heard.tell(progress);
  progress({ status: `Digest: ${source.digest}` });
  const attributes = { driver: row.driver, reference: familiarReference(reference) };
  shop.state.write((tx) => appendEvent(tx, { type: "volume", action: "pull", actor: row.name, attributes }), { durable: false });
  return row;
}

function ownOf({ driver, config }: Description): Pick<rows.VolumeRow, "driver" | "config"> {
  if (config.options?.["device"] === undefined) return { driver, config };
  return { driver, config: { ...config, options: null } };
}

/** The volume whose place would be taken, if there is one and it may be. */
async function refuse({ state, root }: VolumeShop, name: string, force: boolean): Promise<rows.VolumeRow | undefined> {
  const row = rows.findVolume(state, name);
  if (row === undefined) return undefined;
  const no = (why: string): LighterError => new LighterError("conflict", `Cannot pull into the volume "${name}": ${why}`);
  if (row.config.options?.["device"] !== undefined) throw no("its files are mounted from elsewhere");
  const users = rows.usersOf(state, name);
  if (users.length > 0) throw no(`volume is in use - [${users.join(", ")}]`);
  const empty = await isEmpty(join(root, name, DATA)).catch(() => true);
  if (!empty && !force) throw no("it has files already; --force puts those of the registry in their place");
  return row;
}

/** The artifact, by the first address that has it. */
async function find({ distribution, credentials, signal }: PullContext, reference: Reference, heard: Heard): Promise<Source> {
  const { digest, tag = "latest" } = reference;
  const repositories = distribution.repository(reference, { warned: heard.hear, ...(credentials && { credentials }) });
  let failure: unknown = new LighterError("internal", "no address to ask");
  for (const [index, repository] of repositories.entries()) {
    if (!repository.can(digest === undefined ? "resolve" : "pull")) continue;
    try {
      const { descriptor, bytes } = await repository.manifest(digest ?? tag, signal ? { signal } : {});
      if (descriptor.mediaType !== MEDIA.ociManifest) throw noVolume(familiarReference(reference));
      const usable = repositories.slice(index).filter((each) => each.can("pull"));
      return { repositories: usable, digest: descriptor.digest, ...readManifest(bytes, familiarReference(reference)) };
    } catch (error) {
      signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

/** Unpacks an archive of which every byte has been seen: one that ends before its blob does would never be held against its digest. Throws `invalid`. */
async function unpackWhole(
  directory: string,
  layer: Descriptor,
  { most, ...options }: PiecesOptions & { most: number | undefined },
): Promise<void> {
  let whole = false;
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield* blobPieces(layer, options);
    whole = true;
  }
  const bound = { packed: layer.size, what: "volume's part", ...(most !== undefined && { most }) };
  await unpackTree({ root: directory, path: "/", bound }, pieces(), { signal: options.signal });
  if (!whole) throw new LighterError("invalid", `Cannot unpack ${layer.digest}: something comes behind the end of its archive`);
}

/** What lies beside the volume's files would lie beside those of all volumes; a link in the place of their directory would be mounted wherever it leads. */
async function refuseOthers(directory: string, reference: Reference): Promise<void> {
  const others = (await readdir(directory)).filter((name) => name !== DATA);
  if (others.length > 0 || !(await lstat(join(directory, DATA))).isDirectory()) throw noVolume(familiarReference(reference));
}
