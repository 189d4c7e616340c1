import { join } from "node:path";
import { now, toRfc3339Nano } from "../base/clock.ts";
import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import type { Content } from "../content/content.ts";
import { treeSize } from "../content/trees.ts";
import type { Distribution } from "../distribution/distribution.ts";
import { appendEvent } from "../state/events.ts";
import type { Reader, State, Tx } from "../state/state.ts";
import { booleanFilter, type Filters } from "../wire/filters.ts";
import type { Volume } from "../wire/engine-api.ts";
import { backupVolume, copyVolume, restoreVolume } from "./backup.ts";
import { finishMoves, finishRemoval, renameVolume, type VolumeShop } from "./drafts.ts";
import { filterVolumes } from "./list.ts";
import { compareBackup, compareVolumes } from "./compare.ts";
import { applyLimit, checkSize } from "./limits.ts";
import { isMounted, unmountVolume } from "./local-mount.ts";
import { measureVolume, type VolumeMeasure } from "./measure.ts";
import { isForeign, makeDirectory, VolumeMounts } from "./mounts.ts";
import { giveAway, isEmpty, populate, takeBack, type CopySource, type Owners } from "./populate.ts";
import { pullVolume } from "./pull.ts";
import { pushVolume } from "./push.ts";
import * as rows from "./rows.ts";
import { checkDriver, checkName, checkOptions, LOCAL } from "./rules.ts";
import type { Volumes } from "./volumes.ts";

/** Docker's label of a volume that was made for one container and has no name of its own. */
const ANONYMOUS = "com.docker.volume.anonymous";

interface NewVolume {
  name: string;
  driver?: string;
  driverOptions?: Record<string, string>;
  labels?: Record<string, string>;
  anonymous: boolean;
}

interface VolumesOptions {
  state: State;
  content: Content;
  distribution: Distribution;
  dataRoot: string;
  /** Bytes that a part of a volume in a registry may unpack to, as {@link openContent}'s. */
  maxLayerSize?: number | undefined;
}

/** Opens the volumes below `<data-root>/volumes`, and finishes removals that an earlier daemon began. */
export function openVolumes({ state, content, distribution, dataRoot, maxLayerSize }: VolumesOptions): Volumes {
  const root = join(dataRoot, "volumes");
  const dataOf = (name: string): string => join(root, name, "_data");
  const shop: VolumeShop = { state, content, root };
  const copies = new Map<string, Promise<void>>();

  function find(name: string): rows.VolumeRow {
    const row = rows.findVolume(state, name);
    if (row === undefined) throw new LighterError("not-found", `get ${name}: no such volume`);
    return row;
  }

  function show(row: rows.VolumeRow): Volume {
    return {
      CreatedAt: toRfc3339Nano(row.created).replace(/\.\d+Z$/, "Z"),
      Driver: row.driver,
      Labels: row.config.labels as Record<string, string>,
      Mountpoint: dataOf(row.name),
      Name: row.name,
      Options: row.config.options as Record<string, string>,
      Scope: "local",
    };
  }

  /** The row of a new volume, or the one that is there. */
  function ensure(tx: Tx, { name, driver = LOCAL, driverOptions, labels, anonymous }: NewVolume): rows.VolumeRow {
    const there = rows.findVolume(tx, name);
    checkDriver(name, driver);
    if (there !== undefined) {
      if (driver !== there.driver) throw new LighterError("conflict", `create ${name}: volume name must be unique`);
      return there;
    }
    checkName(name);
    checkOptions(name, driverOptions ?? {});
    checkSize(name, driverOptions ?? {}, dataRoot);
    const row: rows.VolumeRow = {
      name,
      driver,
      created: now(),
      anonymous,
      populated: rows.POPULATED.no,
      config: { v: 1, labels: anonymous ? { ...labels, [ANONYMOUS]: "" } : (labels ?? null), options: driverOptions ?? null },
    };
    rows.insertVolume(tx, row);
    appendEvent(tx, { type: "volume", action: "create", actor: name, attributes: { driver } });
    return row;
  }

  function refuseUsed(reader: Reader, name: string): void {
    const users = rows.usersOf(reader, name);
    if (users.length > 0) throw new LighterError("conflict", `remove ${name}: volume is in use - [${users.join(", ")}]`);
  }

  /** Those that are being copied: volumes by name, with the number of readers. */
  const readers = new Map<string, number>();

  function hold(name: string): () => void {
    readers.set(name, (readers.get(name) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      readers.set(name, (readers.get(name) ?? 1) - 1);
      // Was it mounted for this alone, it goes.
      void mounts.settle(name);
    };
  }

  function refuseRead(name: string): void {
    if ((readers.get(name) ?? 0) > 0) throw new LighterError("conflict", `volume ${name} is being copied: try again when that is done`);
  }

  function deleteRow(tx: Tx, { name, driver }: rows.VolumeRow): void {
    rows.deleteVolume(tx, name);
    rows.insertRemoval(tx, name);
    appendEvent(tx, { type: "volume", action: "destroy", actor: name, attributes: { driver } });
  }

  async function removeRow(row: rows.VolumeRow): Promise<void> {
    const { name } = row;
    refuseUsed(state, name);
    refuseRead(name);
    await unmountVolume(name, dataOf(name), row.config.options ?? {});
    refuseRead(name);
    state.write(
      (tx) => {
        refuseUsed(tx, name);
        deleteRow(tx, row);
      },
      { durable: !row.anonymous },
    );
    await finishRemoval(shop, name);
  }

  /** A new volume that cannot be kept within its limit is none. */
  async function limited(row: rows.VolumeRow): Promise<void> {
    try {
      await applyLimit(row, dataOf(row.name));
    } catch (error) {
      if (rows.usersOf(state, row.name).length === 0) await removeRow(row);
      throw error;
    }
  }

  const mounts = new VolumeMounts({
    isRead: (name) => (readers.get(name) ?? 0) > 0,
    find: (name) => {
      const row = rows.findVolume(state, name);
      return row && { row, path: dataOf(name) };
    },
  });

  /** Sees to it that a volume's directory is there: mounted from elsewhere, or its own within its limit. */
  async function reachable(row: rows.VolumeRow, path: string, use: { user?: string; signal?: AbortSignal }): Promise<void> {
    if (isForeign(row)) return mounts.use({ row, path }, use);
    makeDirectory(path);
    await applyLimit(row, path);
  }

  /** Copies once at a time. What a copy left that a crash cut short, or that failed, is taken back first: a half is never used. */
  async function copyUp(row: rows.VolumeRow, path: string, copyFrom: CopySource | undefined, owners: Owners | undefined): Promise<void> {
    const note = (populated: number): void => state.write((tx) => rows.setPopulated(tx, row.name, populated), { durable: false });
    const undo = async (): Promise<void> => {
      await takeBack(path, copyFrom, { shared: isForeign(row) || rows.usersOf(state, row.name).length > 1 });
      note(rows.POPULATED.no);
    };
    // What has come to elsewhere since is not ours: without the source nobody knows which files are.
    if (row.populated === rows.POPULATED.copying && (copyFrom !== undefined || !isForeign(row))) await undo();
    if (!(await isEmpty(path))) return;
    if (owners !== undefined && row.populated === rows.POPULATED.no) await giveAway(path, owners);
    if (copyFrom === undefined) return;
    note(rows.POPULATED.copying);
    try {
      await populate(path, copyFrom, owners);
    } catch (error) {
      await undo();
      throw new LighterError(kindOf(error), `Cannot fill volume "${row.name}" with the image's files: ${messageOf(error)}`, {
        cause: error,
      });
    }
    note(rows.POPULATED.done);
  }

  const volumes: Volumes = {
    async create({ name = "", anonymous = name === "", ...options }) {
      const wanted = { ...options, name: name === "" ? newId() : name, anonymous };
      const { row, known } = state.write((tx) => ({ known: rows.findVolume(tx, wanted.name) !== undefined, row: ensure(tx, wanted) }), {
        durable: true,
      });
      if (!isMounted(dataOf(row.name))) makeDirectory(dataOf(row.name));
      // Whatever is wrong with one that was there, its files are somebody's.
      if (!known) await limited(row);
      return show(row);
    },

    inspect: (name) => show(find(name)),

    list: (filters) => filterVolumes(rows.allVolumes(state), filters, rows.userCounts(state)).map(show),

    async remove(name, { force }) {
      const row = rows.findVolume(state, name);
      if (row !== undefined) await removeRow(row);
      else if (!force) find(name);
    },

    async rename(name, to, { follow } = {}) {
      const row = find(name);
      if (follow === undefined) refuseUsed(state, name);
      await unmountVolume(name, dataOf(name), row.config.options ?? {});
      refuseRead(name);
      renameVolume(shop, row, to, follow);
    },

    async clone(name, to, { freeze } = {}) {
      const release = hold(name);
      try {
        return show(await copyVolume(shop, await present(name), to, freeze));
      } finally {
        release();
      }
    },

    async backup(name, { freeze } = {}) {
      const release = hold(name);
      try {
        return await backupVolume(shop, await present(name), { freeze, release });
      } catch (error) {
        release();
        throw error;
      }
    },

    async restore(name, archive) {
      return show(await restoreVolume(shop, name, archive));
    },

    async push(name, reference, options) {
      const release = hold(name);
      try {
        await pushVolume({ ...options, shop, distribution, release }, await present(name), reference);
      } finally {
        release();
      }
    },

    async pull(reference, options) {
      return show(await pullVolume({ ...options, shop, distribution, refuseRead, mostUnpacked: maxLayerSize }, reference));
    },

    async measure(names, { signal } = {}) {
      const wanted = names.length === 0 ? rows.allVolumes(state) : [...new Set(names)].map(find);
      const users = rows.userCounts(state);
      const one = (row: rows.VolumeRow): Promise<VolumeMeasure> =>
        measureVolume(row, { root, containers: users.get(row.name) ?? 0, ...(signal && { signal }) });
      return (await Promise.all(wanted.map(one))).sort((a, b) => b.bytes - a.bytes || a.name.localeCompare(b.name));
    },

    async compare(name, other, options) {
      const releases = [name, ...(typeof other === "string" ? [other] : [])].map((one) => find(one).name).map(hold);
      try {
        await present(name);
        if (typeof other !== "string") return await compareBackup(shop, name, other, options);
        await present(other);
        return await compareVolumes(shop, [name, other], options);
      } finally {
        for (const release of releases) release();
      }
    },

    users: (name) => rows.usersOf(state, find(name).name),

    async prune(filters: Filters) {
      const all = booleanFilter(filters, "all") ?? false;
      const unused = new Map(filters).set("dangling", ["true"]);
      const deleted: string[] = [];
      let bytes = 0;
      for (const row of filterVolumes(rows.allVolumes(state), unused, rows.userCounts(state))) {
        // What was made with options is somebody's on purpose, and may be another machine's: Docker leaves it, too.
        if ((!all && !row.anonymous) || Object.keys(row.config.options ?? {}).length > 0) continue;
        const size = await sizeOf(row);
        try {
          await removeRow(row);
        } catch (error) {
          // A container took it in the meantime.
          if (error instanceof LighterError && error.kind === "conflict") continue;
          throw error;
        }
        deleted.push(row.name);
        bytes += size;
      }
      state.write((tx) => appendEvent(tx, { type: "volume", action: "prune", actor: "", attributes: { reclaimed: String(bytes) } }), {
        durable: false,
      });
      return { deleted, bytes };
    },

    unreference: rows.deleteReferences,
    reference(tx, { container, destination, ...wanted }) {
      const known = rows.findVolume(tx, wanted.name) !== undefined;
      const { name } = ensure(tx, wanted);
      rows.insertReference(tx, { volume: name, container, destination });
      return !known;
    },

    release: (container, keep) => mounts.release(container, keep),

    adopt(containers) {
      const foreign = rows.allVolumes(state).filter(isForeign);
      const users = foreign.flatMap(({ name }) => rows.usersOf(state, name).map((container) => ({ volume: name, container })));
      return mounts.restore(
        users.filter(({ container }) => containers.has(container)),
        foreign.map(({ name }) => name),
      );
    },

    async ready(name, { copyFrom, owners, container, signal }) {
      const path = dataOf(name);
      await reachable(find(name), path, { ...(container !== undefined && { user: container }), ...(signal && { signal }) });
      // As it is now: a copy that was under way may have ended meanwhile.
      const row = find(name);
      if (copyFrom === undefined && owners === undefined && row.populated !== rows.POPULATED.copying) return path;
      const running = copies.get(name);
      if (running !== undefined) await running.catch(() => undefined);
      else {
        const copy = copyUp(row, path, copyFrom, owners);
        copies.set(name, copy);
        await copy.finally(() => copies.delete(name));
      }
      return path;
    },

    async usage() {
      const users = rows.userCounts(state);
      return Promise.all(
        rows.allVolumes(state).map(async (row) => ({
          ...show(row),
          UsageData: { Size: await sizeOf(row), RefCount: users.get(row.name) ?? 0 },
        })),
      );
    },

    dropAnonymous(tx, container) {
      const names = rows.anonymousOf(tx, container);
      rows.deleteReferences(tx, container);
      const unused = names.flatMap((name) => rows.findVolume(tx, name) ?? []).filter(({ name }) => rows.usersOf(tx, name).length === 0);
      // What is mounted there from elsewhere has to be unmounted first.
      const [mounted, plain] = [unused.filter(isForeign), unused.filter((row) => !isForeign(row))];
      for (const row of plain) deleteRow(tx, row);
      return async () => {
        for (const { name } of plain) await finishRemoval(shop, name);
        for (const row of mounted) await removeRow(row);
      };
    },
  };

  /** A volume whose files are there to be read: what is mounted from elsewhere is. */
  async function present(name: string): Promise<rows.VolumeRow> {
    const row = find(name);
    await volumes.ready(name, { copyFrom: undefined });
    return row;
  }

  /** Bytes below a volume's directory; what is mounted there from elsewhere takes none of ours. */
  async function sizeOf(row: rows.VolumeRow): Promise<number> {
    if (row.config.options?.["device"] !== undefined) return 0;
    return (await treeSize(dataOf(row.name))).bytes;
  }

  finishMoves(shop);
  for (const name of rows.openRemovals(state)) void finishRemoval(shop, name);
  return volumes;
}
