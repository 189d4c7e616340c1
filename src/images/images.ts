import type { Digest, ImageConfig, Platform } from "../oci/image.ts";
import type {
  AttestationStatement,
  DistributionInspect,
  ImageDeleteResponseItem,
  ImageHistoryResponseItem,
  ImageInspect,
  ImageSummary,
} from "../wire/engine-api.ts";
import type { RegistryHost, Credentials, FoundRepository } from "../distribution/distribution.ts";
import type { Filters } from "../wire/filters.ts";
import type { ProgressSink } from "../wire/progress.ts";
import type { Reference } from "../base/reference.ts";
import type { Tx } from "../state/state.ts";
import type { AttestationOptions } from "./attestations.ts";
import type { CommitOptions } from "./commit.ts";
import type { GcReport } from "../wire/gc-report.ts";
import type { GcPolicy } from "./gc-policy.ts";
import type { ImageExchange } from "./exchange.ts";
import type { PresentImage } from "./record.ts";
import type { SearchOptions } from "./search.ts";
import type { VerifyRequest } from "./verify.ts";

/** One runnable platform of an image, chosen and unpacked: what a container needs to know. */
export interface RunnableImage {
  /** The image's id: digest of its manifest or index. */
  id: Digest;
  /** Digest of the platform's manifest. */
  manifest: Digest;
  config: ImageConfig;
  configDigest: Digest;
  platform: Platform;
  /** Chain id of the topmost layer; undefined for an image without layers. */
  chainId: Digest | undefined;
  /** Unpacked layer directories, topmost first. */
  layers: string[];
}

/**
 * Images by name and id. A look-up takes a name (`ubuntu`, `ubuntu:24.04`, `name@sha256:...`), a full id, a manifest or config digest, or an unambiguous
 * hex prefix of any of them. Not found is `not-found` with Docker's text (`No such image: x:latest`).
 */
export interface Images {
  /**
   * Finds the image for a container: the platform asked for, else the host's. Unpacks layers that are missing (a pull for another platform, say).
   * Synchronous data when everything is here: the promise resolves in the same turn.
   */
  runnable(reference: string, options?: { platform?: string; signal?: AbortSignal }): Promise<RunnableImage>;
  /** Notes the use of an image in the caller's transaction (for disk care). */
  touch(tx: Tx, id: Digest): void;
  /** Docker's display name of an image in `ps`: the given reference while it still means this image, else the short id. */
  displayName(reference: string, id: Digest): string;

  /** With `lastUsed`, which is ours, each has the time of its last use (RFC 3339), too. */
  list(options: {
    all?: boolean;
    filters: Filters;
    digests?: boolean;
    manifests?: boolean;
    sharedSize?: boolean;
    /** The manifests, and where each is known to come from. */
    identity?: boolean;
    lastUsed?: boolean;
  }): Promise<(ImageSummary & { LastUsed?: string })[]>;
  inspect(reference: string, options?: { platform?: string; manifests?: boolean }): Promise<ImageInspect>;
  /** What the image's index says about a platform of it (provenance, bills of materials); empty where it says nothing. */
  attestations(reference: string, options?: AttestationOptions): Promise<AttestationStatement[]>;
  /** What a registry has under a name, without pulling it. */
  remote(reference: string, options?: { credentials?: Credentials; signal?: AbortSignal }): Promise<DistributionInspect>;
  /** Looks for repositories in a registry: `host/term`, or a term for Docker Hub. */
  search(text: string, options: SearchOptions): Promise<FoundRepository[]>;
  history(reference: string, options?: { platform?: string }): Promise<ImageHistoryResponseItem[]>;
  /** Pulls, telling Docker's progress messages to the sink in Docker's order. Errors before the first message reject; later ones do too (the door shows them in the stream). */
  pull(
    reference: string,
    options: {
      platform?: string;
      credentials?: Credentials;
      allTags?: boolean;
      host?: RegistryHost;
      /** Signatures are wanted, whatever the daemon's policy says; with keys in PEM, by one of these. */
      verify?: VerifyRequest;
      progress: ProgressSink;
      signal?: AbortSignal;
    },
  ): Promise<void>;
  /** Pushes to the registry that the name says, or to another store of ours at `host`, from where a pull may come, too. */
  push(
    reference: string,
    options: {
      platform?: string;
      credentials?: Credentials;
      allTags?: boolean;
      host?: RegistryHost;
      progress: ProgressSink;
      signal?: AbortSignal;
    },
  ): Promise<void>;
  tag(source: string, target: { repository: string; tag?: string }): Promise<void>;
  remove(reference: string, options: { force: boolean; noPrune: boolean; platforms?: string[] }): Promise<ImageDeleteResponseItem[]>;
  prune(filters: Filters): Promise<{ deleted: ImageDeleteResponseItem[]; bytes: number }>;
  /** `docker save`: an OCI layout with `manifest.json`, as Docker 29 writes it. */
  save(references: string[], options?: { platforms?: string[]; signal?: AbortSignal }): Promise<ReadableStream<Uint8Array>>;
  /** `docker load`: takes Docker's old and new form and OCI layouts, plain or gzip or zstd. */
  load(
    archive: ReadableStream<Uint8Array>,
    options: { progress: ProgressSink; platforms?: string[]; quiet?: boolean; signal?: AbortSignal },
  ): Promise<void>;
  /** `docker import`: a root file system as one layer. Returns the image's id. */
  import(
    archive: ReadableStream<Uint8Array>,
    options: {
      repository?: string;
      tag?: string;
      message?: string;
      changes: string[];
      platform?: string;
      progress: ProgressSink;
      signal?: AbortSignal;
    },
  ): Promise<Digest>;
  /** `docker commit`: a layer of a directory of changes on top of an image that is here. Returns the new image's id. */
  commit(options: CommitOptions): Promise<Digest>;
  /**
   * Stores an image of our own making, its content here under the caller's lease, in the caller's transaction, and gives it names (with Docker's `tag` events).
   * What was remembered of names is forgotten once that transaction is committed. The lease may be released after it.
   */
  record(tx: Tx, image: PresentImage, names: readonly Reference[]): void;
  /** Removes images that nothing needs, by a policy, or says what would go. */
  gc(policy: GcPolicy, options: { dryRun: boolean }): Promise<GcReport>;
  /** Patterns of names that `gc` leaves alone. Adding one again is fine; removing one that is not there is `not-found`. */
  readonly pins: { list(): string[]; add(pattern: string): void; remove(pattern: string): void };
  /** The images as another store of ours sees them. */
  readonly exchange: ImageExchange;
  login(registry: string, credentials: Credentials): Promise<{ status: string; identityToken: string }>;
  /** Numbers for `info` and `system df`. */
  count(): number;
  /** The manifest descriptor of an image's runnable platform, for `ImageManifestDescriptor`. */
  descriptor(manifest: Digest): { mediaType: string; digest: Digest; size: number; platform?: Platform } | undefined;
}
