import type { Tx } from "../state/state.ts";
import type { Volume } from "../wire/engine-api.ts";
import type { Filters } from "../wire/filters.ts";
import type { Change } from "../content/trees.ts";
import type { UserMap } from "../linux/user-namespace.ts";
import type { Freeze } from "./backup.ts";
import type { CompareOptions } from "./compare.ts";
import type { FollowRename } from "./drafts.ts";
import type { VolumeMeasure } from "./measure.ts";
import type { PullOptions } from "./pull.ts";
import type { PushOptions } from "./push.ts";

/** Volumes: directories with a name that outlive containers. In use is refused with `conflict` and Docker's text. */
export interface Volumes {
  create(options: {
    name?: string;
    driver?: string;
    driverOptions?: Record<string, string>;
    labels?: Record<string, string>;
    anonymous?: boolean;
  }): Promise<Volume>;
  inspect(name: string): Volume;
  list(filters: Filters): Volume[];
  remove(name: string, options: { force: boolean }): Promise<void>;
  /**
   * Gives a volume another name: its files stay where they are on the disk. Throws `conflict` for a name in use, and for one that a container has, unless
   * `follow` changes those containers in the same transaction, which it throws out of where that may not be.
   */
  rename(name: string, to: string, options?: { follow?: FollowRename }): Promise<void>;
  /** Makes a volume with the files, labels and options of another; files that are mounted from elsewhere become its own. Throws `conflict` for a name in use. */
  clone(name: string, to: string, options?: { freeze?: Freeze }): Promise<Volume>;
  /** A tar archive of a volume: how it was made, then its files. Of one moment, if those who write stand still meanwhile. */
  backup(name: string, options?: { freeze?: Freeze }): Promise<ReadableStream<Uint8Array>>;
  /** Makes a volume of such an archive, plain, gzip or zstd. Throws `conflict` for a name in use, `invalid` for another kind of archive. */
  restore(name: string, archive: AsyncIterable<Uint8Array>): Promise<Volume>;
  /** Sends a volume to a registry as an artifact, in parts: those that the registry has are not sent again. */
  push(name: string, reference: string, options: PushOptions): Promise<void>;
  /**
   * Makes a volume of such an artifact, under its own name or another, or gives one that is there its files. Throws `conflict` for one with files, unless `force`
   * says to replace them, and for one that a container has.
   */
  pull(reference: string, options: PullOptions): Promise<Volume>;
  /** What volumes hold (all, or those that `names` gives): the largest first. Files are counted in Workers. */
  measure(names: readonly string[], options?: { signal?: AbortSignal }): Promise<VolumeMeasure[]>;
  /** What a volume has against another volume, or against an archive of {@link backup}: added, deleted and changed. */
  compare(name: string, other: string | AsyncIterable<Uint8Array>, options: CompareOptions): Promise<Change[]>;
  /** Ids of the containers that mount a volume. */
  users(name: string): string[];
  prune(filters: Filters): Promise<{ deleted: string[]; bytes: number }>;
  /** Makes the volume's row if it is missing, which it tells, and notes that a container mounts it: part of the container's create transaction. */
  reference(
    tx: Tx,
    options: {
      name: string;
      driver?: string;
      driverOptions?: Record<string, string>;
      labels?: Record<string, string>;
      anonymous: boolean;
      container: string;
      destination: string;
    },
  ): boolean;
  /** Forgets which volumes a container mounts, for a caller that notes them anew in the same transaction. */
  unreference(tx: Tx, container: string): void;
  /**
   * Makes the directory ready for a start and returns its path: mounts what a driver option asks for, and copies the image's content into an empty new volume
   * (`copyFrom`: the directory of the image's root at the destination; undefined for `nocopy`). What is new there and of `owners.from` is given to `owners.to`; with `owners.users`, whose numbers inside the image's are, copies get the host's.
   */
  ready(
    name: string,
    options: {
      copyFrom: (() => Promise<{ path: string; done(): void } | undefined>) | undefined;
      owners?: { from: { uid: number; gid: number }; to: { uid: number; gid: number }; users?: UserMap };
      /** What is mounted from elsewhere stays until this container is released. */
      container?: string;
      signal?: AbortSignal;
    },
  ): Promise<string>;
  /** A container has ended, or uses no others than `keep` any more: what was mounted for it alone is unmounted. Never fails. */
  release(container: string, keep?: ReadonlySet<string>): Promise<void>;
  /** These containers run, and use what they refer to: what is mounted for nobody is unmounted. Never fails. */
  adopt(containers: ReadonlySet<string>): Promise<void>;
  /** All volumes with `UsageData` filled in: bytes and number of containers. */
  usage(): Promise<Volume[]>;
  /**
   * Forgets what a container mounts and deletes its anonymous volumes that nobody else uses: part of the transaction that deletes the container.
   * Call what it returns once that is committed: it removes their directories.
   */
  dropAnonymous(tx: Tx, container: string): () => Promise<void>;
}
