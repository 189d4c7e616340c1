import { mkdirSync, renameSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { close, syncFile } from "../linux/files.ts";
import { byteString } from "../oci/tar-entry.ts";
import { TarParser } from "../oci/tar-read.ts";
import { dirname } from "node:path";
import { archiveFault } from "./archive-fault.ts";
import { LayerExtractor, NeedsLower, openDirectory } from "./extract-layer.ts";
import type { JobContext } from "./job.ts";
import { LowerStack } from "./lower.ts";
import { checkUnpackedSize } from "./layer-size.ts";
import { decompress, type GrowingFile, readGrowing } from "./packed-source.ts";
import { HERE } from "./tree-path.ts";
import { removeAt, treeSizeJob } from "./tree.ts";

/** What a layer job learns while it runs; each message adds to what is known. */
export interface UnpackNews {
  /** The packed file: where it is, how many bytes of it are there, and whether that is all. A new path replaces the old. */
  path?: string;
  size?: number;
  complete?: boolean;
  /** The directories of the layers below, topmost first, once they are all complete. */
  lower?: readonly string[];
  /** The packed bytes have the digest that they should have. */
  verified?: boolean;
  /** What the job wrote is on disk: the answer to `unpacked`. */
  synced?: boolean;
}

/** Where a layer goes, and what is known of it at first. */
export interface UnpackArgs {
  /** Where to work; on the same file system as `directory`. */
  work: string;
  /** The name that the finished layer gets. */
  directory: string;
  diffId: string;
  /** Bytes that it may unpack to; left out, the proportion decides ({@link checkUnpackedSize}). */
  most?: number;
  news: UnpackNews;
}

/** What the job tells while it runs. */
export interface UnpackTold {
  /** Bytes of the packed file that were read. */
  progress?: number;
  /** All is written, and waits for being on disk. */
  unpacked?: boolean;
}

/** A tell of progress at most this often, in milliseconds. */
const PROGRESS = 100;

/** Unpacks one layer: bytes on disk and inodes of it. Nothing is left when it throws. */
export async function unpackLayerJob(args: UnpackArgs, context: JobContext): Promise<{ bytes: number; inodes: number }> {
  const news = new News(args.news, context);
  try {
    const lower = news.known.lower;
    const first = await attempt(args, news, lower === undefined ? undefined : new LowerStack(lower), context);
    if (first !== undefined) return first;
    const known = await news.until((now) => now.complete === true && now.lower !== undefined && now.verified === true);
    const second = await attempt(args, news, new LowerStack(known.lower ?? []), context);
    if (second === undefined) throw new LighterError("internal", "Cannot unpack the layer: a link below was not followed");
    return second;
  } catch (error) {
    removeAt(HERE, byteString(args.work));
    throw archiveFault(error);
  }
}

/** One run over the archive; undefined when it has to be run again with the layers below known. */
async function attempt(
  args: UnpackArgs,
  news: News,
  lower: LowerStack | undefined,
  context: JobContext,
): Promise<{ bytes: number; inodes: number } | undefined> {
  const work = byteString(args.work);
  removeAt(HERE, work);
  mkdirSync(args.work, { mode: 0o700, recursive: true });
  const root = openDirectory(work);
  const extractor = new LayerExtractor(root, lower);
  try {
    await extract(args, news, extractor, context);
    const below = lower ?? new LowerStack((await news.until((now) => now.lower !== undefined)).lower ?? []);
    if (!extractor.finish(below)) return undefined;
    await news.until((now) => now.verified === true);
    await context.port.send({ unpacked: true } satisfies UnpackTold);
    await news.until((now) => now.synced === true);
    const size = extractor.recount ? await treeSizeJob({ path: args.work }, context) : { bytes: extractor.bytes, inodes: extractor.inodes };
    publish(args);
    return size;
  } catch (error) {
    if (error instanceof NeedsLower) return undefined;
    throw error;
  } finally {
    extractor.close();
    close(root);
  }
}

async function extract(args: UnpackArgs, news: News, extractor: LayerExtractor, context: JobContext): Promise<void> {
  const hash = new Bun.CryptoHasher("sha256");
  const parser = new TarParser(extractor);
  let unpacked = 0;
  for await (const chunk of decompress(readGrowing(news.file(), context.signal))) {
    checkUnpackedSize((unpacked += chunk.length), news.read, args.most);
    hash.update(chunk);
    parser.push(chunk);
  }
  parser.finish();
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== args.diffId)
    throw new LighterError("invalid", `Cannot unpack the layer: its content has the digest ${found}, the image says ${args.diffId}`);
}

/** Gives the layer its name. Something of that name without a row is of a crash: it is replaced. */
function publish(args: UnpackArgs): void {
  removeAt(HERE, byteString(args.directory));
  renameSync(args.work, args.directory);
  const parent = openDirectory(byteString(dirname(args.directory)));
  syncFile(parent);
  close(parent);
}

/** Collects what the other side tells. */
class News {
  readonly known: UnpackNews;
  readonly #context: JobContext;
  #wake: (() => void)[] = [];
  #failure: unknown;
  #told = 0;
  /** Bytes of the packed file that were read. */
  read = 0;

  constructor(first: UnpackNews, context: JobContext) {
    this.known = { ...first };
    this.#context = context;
    void this.#listen();
  }

  async #listen(): Promise<void> {
    try {
      for (;;) {
        const value = await this.#context.port.receive();
        if (value === undefined) return;
        Object.assign(this.known, value);
        this.#notify();
      }
    } catch (error) {
      this.#failure = error;
      this.#notify();
    }
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const call of wake) call();
  }

  /** Waits until enough is known. Throws `cancelled`. */
  async until(enough: (known: UnpackNews) => boolean): Promise<UnpackNews> {
    while (!enough(this.known)) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => void this.#wake.push(resolve));
    }
    return this.known;
  }

  /** The packed file as it grows. */
  file(): GrowingFile {
    return {
      path: this.known.path ?? "",
      available: async (position) => {
        const now = await this.until(({ size = 0, complete }) => complete === true || size > position);
        return { size: now.size ?? 0, complete: now.complete === true };
      },
      progress: (position) => {
        this.read = position;
        if (performance.now() - this.#told < PROGRESS) return;
        this.#told = performance.now();
        void this.#context.port.send({ progress: position } satisfies UnpackTold).catch(() => {});
      },
    };
  }
}
