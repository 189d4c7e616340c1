import { chmodSync, readFileSync, statSync } from "node:fs";
import { release } from "node:os";
import { dirname } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { closeFd } from "../linux/fd.ts";
import { detachedTree } from "../linux/detached-tree.ts";
import { rootOf, type UserMap } from "../linux/user-namespace.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { makeRemapUser, REMAP_USER } from "./remap-user.ts";
import { type Accounts, remapOf } from "./user-maps.ts";

/**
 * Finds out whose numbers `userns-remap` means, and whether this machine can run containers with them. For `default` the user is made where it is missing. Undefined for root, who
 * stays who he is. Throws `invalid` and `unsupported` with a sentence that says what to do.
 */
export async function openRemap(
  spec: string,
  { dataRoot, execRoot, runtime }: { dataRoot: string; execRoot: string; runtime: Pick<Runtime, "ownNamespaces"> },
): Promise<UserMap | undefined> {
  if (spec === "default") await makeRemapUser(readAccounts());
  const map = remapOf(spec === "default" ? REMAP_USER : spec, readAccounts());
  if (map === undefined) {
    logOf("engine").warn('"userns-remap": {spec} changes nothing: root stays root', { spec });
    return undefined;
  }
  checkKernel(spec, release());
  checkWay(spec, execRoot, rootOf(map));
  closeToOthers(dataRoot);
  const { user, network } = await runtime.ownNamespaces(map);
  try {
    closeFd(detachedTree(dataRoot, { users: user }));
  } catch (cause) {
    throw refused(
      spec,
      "unsupported",
      `the file system of ${dataRoot} does not allow it (${messageOf(cause)}): put it on ext4, xfs or btrfs`,
    );
  } finally {
    closeFd(user, network);
  }
  return map;
}

function readAccounts(): Accounts {
  const read = (path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return "";
    }
  };
  return { passwd: read("/etc/passwd"), group: read("/etc/group"), subuid: read("/etc/subuid"), subgid: read("/etc/subgid") };
}

/** Layers with other owners than on the disk came to overlayfs with 5.19. */
function checkKernel(spec: string, kernel: string): void {
  const [major = 0, minor = 0] = kernel.split(".").map(Number);
  if (major > 5 || (major === 5 && minor >= 19)) return;
  throw refused(spec, "unsupported", `layers cannot be given other owners by Linux ${kernel}, which takes 5.19 or later`);
}

/** The mapped root makes the mounts of its containers: it must get to the exec root. */
function checkWay(spec: string, execRoot: string, root: { uid: number; gid: number }): void {
  for (let path = execRoot; ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const may = uid === root.uid ? 0o100 : gid === root.gid ? 0o010 : 0o001;
    if ((mode & may) === 0)
      throw refused(spec, "invalid", `user ${root.uid} may not pass through ${path}: "chmod o+x ${path}", or use another --exec-root`);
    if (path === "/") return;
  }
}

/** What root in a container makes setuid is root's on the disk: nobody else may come near it. */
function closeToOthers(dataRoot: string): void {
  const mode = statSync(dataRoot).mode & 0o7777;
  if ((mode & 0o007) === 0) return;
  logOf("engine").info("closed {dataRoot} to others, as containers have users of their own", { dataRoot });
  chmodSync(dataRoot, mode & ~0o007);
}

function refused(spec: string, kind: "invalid" | "unsupported", why: string): LighterError {
  return new LighterError(kind, `Cannot use "userns-remap": ${JSON.stringify(spec)}: ${why}`);
}
