import type { Mount } from "../oci/spec.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import type { PlannedMount } from "./desired.ts";
import type { Mappings } from "./id-mappings.ts";
import { parseSecurityOptions } from "./security-opt.ts";

const GUARDED = ["nosuid", "noexec", "nodev"];

/** A host path (several layers of an image: joined by colons), and whether it is a directory. */
export interface MountSource {
  path: string;
  directory: boolean;
  /** Of a part of a volume: what must stand at the destination once it is mounted. */
  identity?: { device: number; inode: bigint };
  /** Whose files are whose: the kernel maps one mount, not those below it. */
  mappings?: Mappings;
}

/** A mount on the container's own terms: what `--tmpfs` and volumes add to the runtime's file systems. */
export interface MountInputs {
  host: HostConfig;
  mounts: readonly PlannedMount[];
  /** What stands behind each planned bind, volume or image, by its destination. */
  sources: ReadonlyMap<string, MountSource>;
  /** Files of ours by their destination: hosts, hostname, resolv.conf, the init program. */
  files: ReadonlyMap<string, { source: string; readOnly: boolean }>;
  /** Host directory behind a /dev/shm that containers share; undefined for one of its own. */
  sharedShm: string | undefined;
}

/** The mounts of a container in the order in which they are made: the kernel's file systems, then by depth what was asked for. */
export function mountsOf(inputs: MountInputs): Mount[] {
  const own = [...fileMounts(inputs), ...tmpfsMounts(inputs.host), ...inputs.mounts.map((mount) => plannedMount(mount, inputs))];
  own.sort((a, b) => depth(a.destination) - depth(b.destination));
  const taken = new Set(own.map(({ destination }) => destination));
  const system = systemMounts(inputs).filter(
    ({ destination }) => !taken.has(destination) && !(taken.has("/dev") && destination.startsWith("/dev/")),
  );
  return [...system, ...own];
}

function depth(path: string): number {
  return path.split("/").length;
}

function systemMounts({ host, sharedShm }: MountInputs): Mount[] {
  const access = host.Privileged && !host.ReadonlyRootfs ? "rw" : "ro";
  const writable = parseSecurityOptions(host.SecurityOpt ?? [], host.Privileged ?? false).writableCgroups;
  const cgroups = writable === undefined ? access : writable ? "rw" : "ro";
  const mounts: Mount[] = [
    { destination: "/proc", type: "proc", source: "proc", options: GUARDED },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...GUARDED, access] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [cgroups, ...GUARDED] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: GUARDED },
  ];
  const shm = shmMount(host, sharedShm);
  if (shm !== undefined) mounts.push(shm);
  return mounts;
}

function shmMount(host: HostConfig, shared: string | undefined): Mount | undefined {
  if (host.IpcMode === "none") return undefined;
  if (shared !== undefined)
    return {
      destination: "/dev/shm",
      type: "bind",
      source: shared,
      options: ["rbind", "rprivate", ...(host.IpcMode === "host" ? [] : GUARDED)],
    };
  return {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${host.ShmSize ?? 0}`],
  };
}

function fileMounts({ files, mounts }: MountInputs): Mount[] {
  const covered = new Set(mounts.map(({ destination }) => destination));
  return [...files]
    .filter(([destination]) => !covered.has(destination))
    .map(([destination, { source, readOnly }]) => ({
      destination,
      type: "bind",
      source,
      options: ["rbind", "rprivate", ...(readOnly ? ["ro"] : [])],
    }));
}

function tmpfsMounts(host: HostConfig): Mount[] {
  return Object.entries(host.Tmpfs ?? {}).map(([destination, options]) =>
    tmpfsMount(destination, options === "" ? [] : options.split(",")),
  );
}

/** A file system in memory with Docker's defaults. */
export function tmpfsMount(destination: string, given: string[]): Mount {
  const opposite: Record<string, string> = { exec: "noexec", suid: "nosuid", dev: "nodev" };
  const dropped = new Set(given.map((option) => opposite[option]));
  const defaults = ["nosuid", "noexec", "nodev"].filter((option) => !dropped.has(option));
  return { destination, type: "tmpfs", source: "tmpfs", options: [...new Set([...defaults, ...given])] };
}

function plannedMount(mount: PlannedMount, { sources }: MountInputs): Mount {
  const { destination } = mount;
  if (mount.type === "tmpfs") return tmpfsMount(destination, mount.tmpfsOptions ?? []);
  const { path: source, directory, mappings } = sources.get(destination) ?? { path: mount.source, directory: true };
  if (mount.type === "image" && source.includes(":"))
    return { destination, type: "overlay", source: "overlay", options: ["ro", `lowerdir=${source}`] };
  // Read-only all the way down; crun takes that of directories only.
  const deep = mount.type === "bind" && directory && !mount.readOnlyNonRecursive && !mount.nonRecursive;
  const alone = mount.nonRecursive === true || mappings !== undefined;
  const readOnly = mount.rw ? [] : deep ? ["rro", "ro"] : ["ro"];
  return {
    destination,
    type: "bind",
    source,
    options: [...new Set([alone ? "bind" : "rbind", mount.propagation || "rprivate", ...readOnly])],
    ...(mappings && { uidMappings: mappings.uid, gidMappings: mappings.gid }),
  };
}

/** The mounts of another container below a place of this one. */
export function mountsBelow(place: string, mounts: readonly PlannedMount[], sources: ReadonlyMap<string, MountSource>): Mount[] {
  return mounts
    .toSorted((a, b) => depth(a.destination) - depth(b.destination))
    .map((mount) => plannedMount(mount, { host: {}, mounts, sources, files: new Map(), sharedShm: undefined }))
    .map((mount) => ({ ...mount, destination: `${place}${mount.destination}` }));
}

/** How mounts of the root itself pass to and fro: what the most open bind needs; undefined for the runtime's default. */
export function rootPropagation(mounts: readonly PlannedMount[]): string | undefined {
  const kinds = new Set(mounts.map(({ propagation }) => propagation.replace(/^r/, "")));
  if (kinds.has("shared")) return "shared";
  return kinds.has("slave") ? "rslave" : undefined;
}
