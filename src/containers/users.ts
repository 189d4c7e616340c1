import { readlinkSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { LighterError } from "../base/errors.ts";
import { closeFd } from "../linux/fd.ts";
import type { OwnNamespaces, UserMap } from "../linux/user-namespace.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { type Context, find, isRunning } from "./context.ts";
import { debugTarget } from "./debug.ts";
import type { Desired } from "./desired.ts";
import type { ContainerRow } from "./rows.ts";

/**
 * Whose numbers are whose in a new container; undefined for the host's. It keeps them for life, whatever the daemon is told later. Throws `invalid` with Docker's texts for what
 * only the host's root may have.
 */
export function usersOf(context: Context, host: HostConfig): UserMap | undefined {
  const target = debugTarget(host);
  if (target !== undefined) return target.DebugContainer ? usersOfTarget(context, target.DebugContainer) : undefined;
  const map = context.needs.options.users;
  if (map === undefined || host.UsernsMode === "host") return undefined;
  const refuse = (text: string): never => {
    throw new LighterError("invalid", text);
  };
  if (host.Privileged)
    refuse(
      "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
    );
  if (host.NetworkMode === "host") refuse("cannot share the host's network namespace when user namespaces are enabled");
  if (host.PidMode === "host") refuse("cannot share the host PID namespace when user namespaces are enabled");
  return map;
}

/** A container of tools joins one that runs, and looks at the files of others as the host's root. */
function usersOfTarget(context: Context, id: string): UserMap | undefined {
  const row = find(context, id);
  return isRunning(row) ? row.desired.users : undefined;
}

/** Refuses mounts that map owners themselves: a container's own users are mapped already. Throws `invalid`. */
export function checkUsers({ users, mounts }: Pick<Desired, "users" | "mounts">): void {
  const mapped = users && mounts.find(({ idMap }) => idMap !== undefined);
  if (mapped === undefined) return;
  throw new LighterError(
    "invalid",
    `Cannot map the owners of "${mapped.destination}": the container's users are mapped as a whole (userns-remap); leave idmap away, or use --userns host`,
  );
}

/** Namespaces for a start of a container with users of its own; those of the container whose other namespaces it joins. The caller closes them. */
export async function openUsers(context: Context, row: ContainerRow): Promise<OwnNamespaces | undefined> {
  const { users } = row.desired;
  if (users === undefined) return undefined;
  return context.needs.runtime.ownNamespaces(users, joinedUsers(context, row, users));
}

/** Closes what {@link openUsers} has opened. */
export function closeUsers(namespaces: OwnNamespaces | undefined): void {
  if (namespaces !== undefined) closeFd(namespaces.user, namespaces.network);
}

function joinedUsers(context: Context, row: ContainerRow, users: UserMap): string | undefined {
  const paths = new Map<string, string>();
  for (const peer of peersOf(context, row)) {
    if (!isDeepStrictEqual(peer.desired.users, users))
      throw new LighterError("conflict", `cannot join namespaces of container ${peer.id}: its users are other ones (see --userns)`);
    const path = `/proc/${peer.task?.init.pid}/ns/user`;
    paths.set(linkOf(path, peer.id), path);
  }
  if (paths.size > 1)
    throw new LighterError("conflict", "cannot join namespaces of several containers: each has a user namespace of its own");
  return [...paths.values()][0];
}

function linkOf(path: string, id: string): string {
  try {
    return readlinkSync(path);
  } catch (cause) {
    throw new LighterError("conflict", `cannot join namespaces of a non running container: ${id}`, { cause });
  }
}

/** The containers that run and whose namespaces are to be joined; others are told of where they are asked for. */
function peersOf(context: Context, row: ContainerRow): ContainerRow[] {
  const { NetworkMode, PidMode, IpcMode } = row.desired.hostConfig;
  const names = [NetworkMode, PidMode, IpcMode].flatMap((mode) =>
    mode?.startsWith("container:") ? [mode.slice("container:".length)] : [],
  );
  const target = debugTarget(row.desired.hostConfig)?.DebugContainer;
  if (target) names.push(target);
  return names.map((name) => find(context, name)).filter((peer) => isRunning(peer) && peer.task !== undefined);
}
