import { chownSync, existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { copyStack, removeTree } from "../content/trees.ts";
import { closeFd } from "../linux/fd.ts";
import { rootOf } from "../linux/user-namespace.ts";
import { hexOf } from "../oci/digest.ts";
import type { Digest } from "../oci/image.ts";
import type { TaskSpec } from "../runtime/runtime.ts";
import { checkProfile } from "./apparmor.ts";
import { type Context, find } from "./context.ts";
import { commandOf, type PlannedMount } from "./desired.ts";
import { checkFar } from "./far-files.ts";
import { hostFileMounts, writeHostFiles } from "./host-files.ts";
import { lookUp, mergedDirectories, userFiles } from "./image-files.ts";
import { checkIdMaps, resolveIdMap } from "./id-mappings.ts";
import { initProgram } from "./init-program.ts";
import { linkEnvironment } from "./link-environment.ts";
import { monitorOf } from "./monitor-of.ts";
import { type ContainerPaths, pathsOf } from "./paths.ts";
import { resolveUser, type User } from "./passwd.ts";
import { checkPropagation } from "./propagation.ts";
import type { ContainerRow } from "./rows.ts";
import { parseSecurityOptions } from "./security-opt.ts";
import { sharedShm } from "./shared-shm.ts";
import type { MountSource } from "./spec-mounts.ts";
import { INIT_PATH, specOf } from "./spec.ts";
import { subpathOf } from "./subpath.ts";
import { foreignUsers, mappedBinds } from "./user-binds.ts";
import type { Ids } from "../wire/id-map.ts";

/** The network as a start found or made it. */
export interface NetworkPlace {
  namespace: string | undefined;
  hosts: string | undefined;
  resolvConf: string | undefined;
  /** A descriptor of the container's user namespace; none for the host's. */
  users?: number | undefined;
}

/** What a container's root is made of beside its own directory, topmost first: its image's layers, or nothing where roots are copies. */
export function layersOf(context: Context, row: ContainerRow): string[] {
  return context.needs.options.copies === true ? [] : stackOf(context, row);
}

/** Unpacked layers of a container's image, topmost first; an empty directory stands in for an image without layers. */
export function stackOf(context: Context, row: ContainerRow): string[] {
  if (row.chainId === undefined) return [pathsOf(context.needs.options, row.id).empty];
  return context.needs.content.layerStack(row.chainId).map(({ directory }) => directory);
}

/** Makes the sources of all mounts ready: volumes with the image's content, directories of `-v`. Returns host paths by destination. */
export async function prepareMounts(
  context: Context,
  row: ContainerRow,
  layers: string[],
  signal?: AbortSignal,
): Promise<Map<string, MountSource>> {
  const sources = new Map<string, MountSource>();
  for (const mount of row.desired.mounts) {
    const source = await sourceOf(context, row, mount, layers, signal);
    if (source === undefined) continue;
    const found: MountSource =
      typeof source === "object" ? source : { path: source, directory: mount.type !== "bind" || statSync(source).isDirectory() };
    sources.set(mount.destination, withMappings(context, row, mount, layers, found));
  }
  return sources;
}

/** Says whose files are whose, where that was asked for. */
function withMappings(context: Context, row: ContainerRow, mount: PlannedMount, layers: string[], source: MountSource): MountSource {
  if (mount.idMap === undefined) return source;
  checkIdMaps([mount], context.needs.runtime.record(row.runtime));
  const mappings = resolveIdMap(mount.idMap, source.path, () => userOf(context, row, layers));
  return mappings === undefined ? source : { ...source, mappings };
}

function userOf(context: Context, row: ContainerRow, layers: string[]): User {
  const { config, hostConfig: host } = row.desired;
  const { upper } = pathsOf(context.needs.options, row.id);
  return resolveUser(config.User ?? "", userFiles(layers, upper), host.GroupAdd ?? []);
}

async function sourceOf(
  context: Context,
  row: ContainerRow,
  mount: PlannedMount,
  layers: string[],
  signal: AbortSignal | undefined,
): Promise<MountSource | string | undefined> {
  switch (mount.type) {
    case "bind":
      await checkFar(mount.source, { ...(signal && { signal }) });
      return checkedBind(mount, row.desired.users && rootOf(row.desired.users));
    case "volume":
      return volumeSource(context, row, mount, layers, signal);
    case "image":
      return imageSource(context, row, mount);
    case "tmpfs":
      return undefined;
  }
}

/** A volume's directory, with the image's content copied into it where it is new. */
export async function volumeSource(
  context: Context,
  row: ContainerRow,
  mount: PlannedMount,
  layers: string[],
  signal?: AbortSignal,
): Promise<MountSource | string> {
  const upper = pathsOf(context.needs.options, row.id).upper;
  const copyFrom = (): Promise<{ path: string; done(): void } | undefined> => imageContent(context, [upper, ...layers], mount.destination);
  const owners = newOwners(context, row, mount, layers);
  const path = await context.needs.volumes.ready(mount.source, {
    copyFrom: mount.noCopy ? undefined : copyFrom,
    ...(owners && { owners }),
    container: row.id,
    ...(signal && { signal }),
  });
  return mount.subpath === undefined ? path : subpathOf(path, mount.subpath);
}

/** Who gets what is new in a volume, so that it is the container's user's inside. */
function newOwners(
  context: Context,
  row: ContainerRow,
  mount: PlannedMount,
  layers: string[],
): Parameters<Context["needs"]["volumes"]["ready"]>[1]["owners"] {
  const { users } = foreignUsers(context, row, mount);
  if (users !== undefined) return mount.noCopy ? undefined : { from: { uid: 0, gid: 0 }, to: rootOf(users), users };
  const { idMap } = mount;
  if (idMap?.outside === undefined) return undefined;
  const { uid, gid } = idMap.inside ?? userOf(context, row, layers);
  return { from: { uid, gid }, to: idMap.outside };
}

/** A directory of the image's root for the copy into a new volume: itself where one layer alone has it, else a mount of all that have it. */
async function imageContent(context: Context, layers: string[], destination: string): Promise<{ path: string; done(): void } | undefined> {
  const directories = mergedDirectories(layers, destination);
  const [only] = directories;
  if (only === undefined) return undefined;
  if (directories.length === 1) return { path: only, done: () => undefined };
  const fd = await context.needs.runtime.openRoot({ lower: directories, upper: "", work: "", volatile: false });
  return { path: `/proc/self/fd/${fd}`, done: () => closeFd(fd) };
}

function checkedBind(mount: PlannedMount, root: Ids | undefined): string {
  const source = bindSource(mount, root);
  checkPropagation(source, mount.propagation);
  return source;
}

function bindSource(mount: PlannedMount, root: Ids | undefined): string {
  if (existsSync(mount.source)) return mount.source;
  if (!mount.createSource)
    throw new LighterError("invalid", `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`);
  try {
    mkdirSync(mount.source, { recursive: true, mode: 0o755 });
    const owner = mount.idMap?.outside ?? root;
    if (owner !== undefined) chownSync(mount.source, owner.uid, owner.gid);
  } catch (cause) {
    throw new LighterError(
      "invalid",
      `error while creating mount source path '${mount.source}': mkdir ${mount.source}: ${(cause as { code?: string }).code}`,
      {
        cause,
      },
    );
  }
  return mount.source;
}

/** The kernel takes one page of options for a mount, and the runtime has no other way. */
const OPTION_BYTES = 4000;

async function imageSource(context: Context, row: ContainerRow, mount: PlannedMount): Promise<MountSource | string> {
  const { layers, manifest } = await context.needs.images.runnable(mount.source);
  const single = layers.length === 1 && mount.subpath === undefined;
  // Layers cannot be joined in the name of a user namespace's root, who may not read them.
  const copied = context.needs.options.copies === true || (row.desired.users !== undefined && !single);
  if (copied || Buffer.byteLength(layers.join(":")) > OPTION_BYTES) return imageCopy(context, row, mount, { layers, manifest });
  const [only] = layers;
  if (mount.subpath !== undefined && layers.length > 1) return imagePart(layers, mount.subpath, mount.source);
  if (layers.length !== 1 || only === undefined) return layers.join(":");
  return mount.subpath === undefined ? only : subpathOf(only, mount.subpath);
}

/** The files of an image as one directory of the container's, where no overlay can show them. */
async function imageCopy(
  context: Context,
  row: ContainerRow,
  mount: PlannedMount,
  { layers, manifest }: { layers: readonly string[]; manifest: Digest },
): Promise<MountSource | string> {
  const copy = `${pathsOf(context.needs.options, row.id).directory}/images/${hexOf(manifest)}`;
  if (!existsSync(copy)) {
    const work = `${copy}.new`;
    await removeTree(work);
    mkdirSync(work, { recursive: true });
    await copyStack({ layers, target: work });
    renameSync(work, copy);
  }
  return mount.subpath === undefined ? copy : subpathOf(copy, mount.subpath);
}

/** A part of an image of several layers: the directories that make it up, or the one file that is seen there. */
function imagePart(layers: string[], subpath: string, image: string): MountSource {
  const directories = mergedDirectories(layers, subpath);
  if (directories.length > 0) return { path: directories.join(":"), directory: true };
  const path = lookUp(layers, subpath, "file");
  if (path === undefined) throw new LighterError("invalid", `cannot access path ${subpath} of image ${image}: no such file or directory`);
  return { path, directory: false };
}

/** Everything that the runtime part needs to make the process. */
export function taskSpecOf(
  context: Context,
  row: ContainerRow,
  layers: string[],
  sources: ReadonlyMap<string, MountSource>,
  network: NetworkPlace,
): TaskSpec {
  const { options, runtime } = context.needs;
  const { config, hostConfig: host } = row.desired;
  const paths = pathsOf(options, row.id);
  const files = prepareFiles(context, row, paths, network);
  const user = userOf(context, row, layers);
  const hostname = config.Hostname ?? "";
  const spec = specOf({
    id: row.id,
    desired: row.desired,
    hostname,
    user,
    network: network.namespace,
    joined: joinedNamespaces(context, row),
    cgroup: runtime.cgroup,
    defaults: options.defaults,
    linked: linkEnvironment(context, row),
    sources,
    files,
    sharedShm: sharedShm(context, row),
  });
  checkProfile(spec.process.apparmorProfile);
  const map = row.desired.users;
  const users = map !== undefined &&
    network.users !== undefined && { namespace: network.users, map, mapped: mappedBinds(context, row, files) };
  const [height = 0, width = 0] = host.ConsoleSize ?? [];
  return {
    ...monitorOf(context, row, layers),
    spec,
    seccomp: parseSecurityOptions(host.SecurityOpt ?? [], host.Privileged ?? false, options.defaults.seccompProfile).seccomp,
    ...(config.Tty && height > 0 && width > 0 ? { size: { height, width } } : {}),
    ...(users && { users }),
  };
}

/** The first word of a container's command, for error texts. */
export function programOf(row: ContainerRow): string {
  return commandOf(row.desired.config)[0] ?? "";
}

function prepareFiles(
  context: Context,
  row: ContainerRow,
  paths: ContainerPaths,
  network: NetworkPlace,
): Map<string, { source: string; readOnly: boolean }> {
  const { config, hostConfig: host } = row.desired;
  writeHostFiles(paths, {
    hostname: config.Hostname ?? "",
    hosts: network.hosts,
    resolvConf: network.resolvConf,
  });
  const other = host.NetworkMode?.startsWith("container:") ? find(context, host.NetworkMode.slice("container:".length)) : undefined;
  const files = hostFileMounts(row.desired, paths, other && pathsOf(context.needs.options, other.id));
  if (host.Init) files.set(INIT_PATH, { source: initProgram(context.needs.options.defaults.initPath), readOnly: true });
  return files;
}

/** The init process of another running container whose namespace is joined. */
function peerOf(context: Context, mode: string | undefined, what: string): ContainerRow | undefined {
  if (!mode?.startsWith("container:")) return undefined;
  const peer = find(context, mode.slice("container:".length));
  if (peer.status === "running" && peer.task !== undefined) return peer;
  throw new LighterError("conflict", `cannot join ${what} of a non running container: ${peer.id}`);
}

function joinedNamespaces(context: Context, row: ContainerRow): { pid?: string; ipc?: string } {
  const pid = peerOf(context, row.desired.hostConfig.PidMode, "PID namespace")?.task?.init.pid;
  const ipc = peerOf(context, row.desired.hostConfig.IpcMode, "IPC namespace")?.task?.init.pid;
  return {
    ...(pid === undefined ? {} : { pid: `/proc/${pid}/ns/pid` }),
    ...(ipc === undefined ? {} : { ipc: `/proc/${ipc}/ns/ipc` }),
  };
}
