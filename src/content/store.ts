import { readdirSync, statfsSync, statSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { now } from "../base/clock.ts";
import { LighterError } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import { digestOf, hexOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import type { Tx } from "../state/state.ts";
import { findUnreachedLayers } from "./collect.ts";
import type { Blob, Content, ContentOptions, Ingest, Layer, Lease } from "./content.ts";
import type { Freed } from "./freed.ts";
import { FileIngest, storeBlob, UNREPEATED } from "./ingest.ts";
import { RowLease } from "./lease.ts";
import { packLayer, type PackOptions } from "./pack-layer.ts";
import { blobFile, ingestFile, layerDirectory, type Places, placesOf } from "./places.ts";
import { allIngests, deleteIngest, findBlob, findLayer, findStack, insertBlob, insertEdges, type LayerRow, touchStack } from "./rows.ts";
import { sweepBlobs } from "./sweep.ts";
import { Trash } from "./trash.ts";
import { Unpacker, type UnpackOptions } from "./unpack.ts";
import { freedWith, unreached, unreachedBytes } from "./unreached.ts";

/** `readBlob` holds at most this many bytes unless told otherwise. */
const BLOB_LIMIT = 8 << 20;

/** The content store on disk: files by digest, directories by chain id, rows in the state. */
export class ContentStore implements Content {
  readonly #options: ContentOptions;
  readonly #places: Places;
  /** Bytes of a block of the file system. */
  readonly #block: number;
  readonly #trash: Trash;
  readonly #unpacker: Unpacker;
  readonly #ingests = new Map<string, FileIngest | undefined>();
  /** Which daemon made a lease. */
  readonly #boot = newId();

  constructor(options: ContentOptions) {
    this.#options = options;
    this.#places = placesOf(options.dataRoot);
    this.#block = statfsSync(options.dataRoot).bsize;
    this.#trash = new Trash(this.#places.trash);
    this.#unpacker = new Unpacker({
      places: this.#places,
      state: options.state,
      blob: (digest) => this.blob(digest),
      layer: (chainId) => this.layer(chainId),
      layerStack: (chainId) => this.layerStack(chainId),
      ingesting: (ref) => this.#ingests.get(ref),
      maxLayerSize: options.maxLayerSize,
    });
  }

  /** Drops dead leases; throws away files and directories that no row names. */
  async recover(): Promise<void> {
    const { state } = this.#options;
    state.write((tx) => tx.run("DELETE FROM leases"), { durable: false });
    for (const name of await readdir(this.#places.work)) this.#trash.take(join(this.#places.work, name));
    for (const name of await readdir(this.#places.layers)) {
      if (findLayer(state, `sha256:${name}`) === undefined) this.#trash.take(join(this.#places.layers, name));
    }
    for (const name of await readdir(this.#places.blobs)) {
      if (findBlob(state, `sha256:${name}`) === undefined) this.#trash.take(join(this.#places.blobs, name));
    }
    const lost = allIngests(state).filter(({ ref }) => ref.startsWith(UNREPEATED));
    if (lost.length > 0) state.write((tx) => lost.forEach(({ ref }) => deleteIngest(tx, ref)), { durable: false });
    const known = new Set(allIngests(state).map(({ ref }) => ingestFile(this.#places, ref)));
    for (const name of await readdir(this.#places.ingests)) {
      const path = join(this.#places.ingests, name);
      if (!known.has(path)) this.#trash.take(path);
    }
  }

  blob(digest: Digest): Blob | undefined {
    return findBlob(this.#options.state, digest);
  }

  blobPath(digest: Digest): string {
    return blobFile(this.#places, digest);
  }

  async readBlob(digest: Digest, limit = BLOB_LIMIT): Promise<Uint8Array> {
    const blob = this.blob(digest);
    if (blob === undefined) throw new LighterError("not-found", `Cannot read ${digest}: it is not here`);
    if (blob.size > limit)
      throw new LighterError("invalid", `Cannot read ${digest}: it has ${blob.size} bytes, at most ${limit} are expected`);
    return await readFile(this.blobPath(digest));
  }

  async writeBlob(data: Uint8Array, mediaType: string, lease: Lease): Promise<Blob> {
    const digest = digestOf(data);
    lease.addBlob(digest);
    const here = this.blob(digest);
    if (here !== undefined) return here;
    await storeBlob(data, this.blobPath(digest));
    const blob: Blob = { digest, size: data.length, mediaType };
    this.#options.state.write((tx) => insertBlob(tx, blob), { durable: false });
    return blob;
  }

  setEdges(tx: Tx, parent: Digest, children: readonly Digest[]): void {
    insertEdges(tx, parent, children);
  }

  lease(purpose: string): Lease {
    return new RowLease(this.#options.state, purpose, this.#boot);
  }

  async ingest(ref: string): Promise<Ingest> {
    if (this.#ingests.has(ref)) throw new LighterError("conflict", `Cannot write "${ref}": it is being written already`);
    this.#ingests.set(ref, undefined);
    const closed = (): void => void this.#ingests.delete(ref);
    try {
      const ingest = await FileIngest.open({ ref, places: this.#places, state: this.#options.state, closed });
      this.#ingests.set(ref, ingest);
      return ingest;
    } catch (error) {
      closed();
      throw error;
    }
  }

  layer(chainId: Digest): Layer | undefined {
    const row = findLayer(this.#options.state, chainId);
    return row && this.#layer(row);
  }

  layerStack(chainId: Digest): Layer[] {
    const rows = findStack(this.#options.state, chainId);
    if (rows.length === 0 || rows.at(-1)?.parent !== null)
      throw new LighterError("not-found", `Cannot use layer ${chainId}: it is not unpacked`);
    return rows.map((row) => this.#layer(row));
  }

  touch(tx: Tx, chainId: Digest): void {
    touchStack(tx, chainId);
  }

  async unpack(options: UnpackOptions): Promise<Layer> {
    return await this.#unpacker.unpack(options);
  }

  async packDirectory(options: PackOptions): Promise<{ blob: Blob; diffId: Digest; layer?: Layer }> {
    return await packLayer(this, options);
  }

  async collect(options: { dryRun?: boolean } = {}): Promise<{ bytes: number; blobs: Digest[]; layers: Digest[] }> {
    const { state, roots = [] } = this.#options;
    if (options.dryRun === true) return await unreached(this.#options);
    // Found, forgotten and moved away without a turn of the event loop between: whoever finds content here and takes a lease at once, keeps it.
    const layers = findUnreachedLayers(state, roots);
    const chainIds = layers.map(({ chain_id }) => chain_id);
    // On disk before the files go: after a power cut no row may name what is not there.
    if (layers.length > 0)
      state.write((tx) => chainIds.forEach((chainId) => tx.run("DELETE FROM layers WHERE chain_id = ?", chainId)), { durable: true });
    for (const chainId of chainIds) this.#trash.take(layerDirectory(this.#places, chainId));
    const forgotten = (digests: readonly Digest[]): void => digests.forEach((digest) => this.#trash.take(this.blobPath(digest)));
    const { bytes, blobs } = await sweepBlobs({ state, roots, forgotten });
    await this.#trash.emptied();
    return { bytes: layers.reduce((sum, { size }) => sum + size, bytes), blobs, layers: chainIds };
  }

  usage(): { blobs: number; layers: number; partial: number } {
    const { state } = this.#options;
    const block = this.#block;
    // Files take whole blocks: what `du` counts for a blob.
    const blobs = state.get<{ bytes: number }>("SELECT COALESCE(SUM((size + ?) / ? * ?), 0) AS bytes FROM blobs", block - 1, block, block);
    const layers = state.get<{ bytes: number }>("SELECT COALESCE(SUM(size), 0) AS bytes FROM layers");
    const partial = readdirSync(this.#places.ingests).reduce(
      (sum, name) => sum + (statSync(join(this.#places.ingests, name), { throwIfNoEntry: false })?.blocks ?? 0) * 512,
      0,
    );
    return { blobs: blobs?.bytes ?? 0, layers: layers?.bytes ?? 0, partial };
  }

  async reclaimable(): Promise<number> {
    return await unreachedBytes(this.#options, "used images");
  }

  async freed(images: readonly Digest[]): Promise<Freed> {
    return await freedWith(this.#options, images);
  }

  async sweepPartials(age: number, prefixes: readonly string[] = [""]): Promise<void> {
    const before = now() - BigInt(age) * 1_000_000n;
    for (const { ref, updated } of allIngests(this.#options.state)) {
      if (updated >= before || this.#ingests.has(ref) || !prefixes.some((prefix) => ref.startsWith(prefix))) continue;
      this.#options.state.write((tx) => deleteIngest(tx, ref), { durable: false });
      await rm(ingestFile(this.#places, ref), { force: true });
    }
  }

  async discard(directory: string): Promise<void> {
    this.#trash.take(directory);
  }

  async settled(): Promise<void> {
    await this.#trash.emptied();
  }

  #layer(row: LayerRow): Layer {
    const { chain_id: chainId, parent, diff_id: diffId, size } = row;
    return { chainId, parent: parent ?? undefined, diffId, size, directory: join(this.#places.layers, hexOf(chainId)) };
  }
}
