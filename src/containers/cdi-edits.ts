import { statSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import type { Linux, Mount, RuntimeSpec } from "../oci/spec.ts";
import type { ContainerEdits } from "./cdi-spec.ts";
import { deviceNumbers } from "./devices.ts";

type Device = NonNullable<Linux["devices"]>[number];

const HOOKS = new Set(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]);

/** Applies what devices ask for to a specification: later values of a variable, a node or a mount replace earlier ones. */
export function applyEdits(spec: RuntimeSpec, edits: readonly ContainerEdits[]): void {
  for (const edit of edits) {
    setVariables(spec, edit.env ?? []);
    for (const node of edit.deviceNodes ?? []) addDevice(spec, node);
    for (const mount of edit.mounts ?? []) addMount(spec, mount);
    for (const hook of edit.hooks ?? []) addHook(spec, hook);
    addGroups(spec, edit.additionalGids ?? []);
  }
}

/** Sets variables of the process's environment in the place where they stand already, else at its end. */
export function setVariables(spec: RuntimeSpec, variables: readonly string[]): void {
  for (const variable of variables) {
    const name = `${variable.split("=", 1)[0] ?? ""}=`;
    const at = spec.process.env.findIndex((one) => one.startsWith(name));
    if (at < 0) spec.process.env.push(variable);
    else spec.process.env[at] = variable;
  }
}

/** Adds a hook to a specification. Throws `invalid` for a time of its life that does not exist. */
export function addHook(spec: RuntimeSpec, { hookName, ...hook }: NonNullable<ContainerEdits["hooks"]>[number]): void {
  if (!HOOKS.has(hookName)) throw new LighterError("invalid", `CDI device injection failed: invalid hook name "${hookName}"`);
  const hooks = (spec.hooks ??= {});
  (hooks[hookName] ??= []).push(hook);
}

function addDevice(spec: RuntimeSpec, node: NonNullable<ContainerEdits["deviceNodes"]>[number]): void {
  const { uid, gid } = spec.process.user;
  const made: Device = {
    path: node.path,
    ...numbersOf(node),
    ...(node.fileMode === undefined ? {} : { fileMode: node.fileMode }),
    // A node belongs to who uses it, unless its description says otherwise.
    ...(node.uid === undefined ? (uid > 0 ? { uid } : {}) : { uid: node.uid }),
    ...(node.gid === undefined ? (gid > 0 ? { gid } : {}) : { gid: node.gid }),
  };
  spec.linux.devices = [...(spec.linux.devices ?? []).filter(({ path }) => path !== made.path), made];
  if (made.type !== "b" && made.type !== "c") return;
  const resources = (spec.linux.resources ??= {});
  const access = node.permissions || "rwm";
  (resources.devices ??= []).push({ allow: true, type: made.type, major: made.major, minor: made.minor, access });
}

function numbersOf(node: NonNullable<ContainerEdits["deviceNodes"]>[number]): Pick<Device, "type" | "major" | "minor"> {
  const { type, major, minor } = node;
  if (type !== undefined && type !== "" && (major !== undefined || type === "p"))
    return { type: type as Device["type"], major: major ?? 0, minor: minor ?? 0 };
  const path = node.hostPath || node.path;
  try {
    const stat = statSync(path);
    if (stat.isBlockDevice() || stat.isCharacterDevice()) return { type: stat.isBlockDevice() ? "b" : "c", ...deviceNumbers(stat.rdev) };
  } catch (cause) {
    throw new LighterError("invalid", `CDI device injection failed: failed to stat CDI host device "${path}": no such file or directory`, {
      cause,
    });
  }
  throw new LighterError("invalid", `CDI device injection failed: "${path}" is not a device node`);
}

function addMount(spec: RuntimeSpec, { hostPath, containerPath, options, type }: NonNullable<ContainerEdits["mounts"]>[number]): void {
  const bind = type === undefined || type === "" || type === "bind";
  const given = options ?? [];
  const mount: Mount = {
    destination: containerPath,
    source: hostPath,
    type: bind ? "bind" : type,
    options: bind && !given.some((option) => option === "bind" || option === "rbind") ? [...given, "rbind"] : given,
  };
  const depth = ({ destination }: Mount): number => destination.split("/").length;
  const others = spec.mounts.filter(({ destination }) => destination !== containerPath);
  const at = others.findIndex((other) => depth(other) > depth(mount) && other.destination.startsWith(`${containerPath}/`));
  spec.mounts = at < 0 ? [...others, mount] : others.toSpliced(at, 0, mount);
}

function addGroups({ process }: RuntimeSpec, groups: readonly number[]): void {
  const all = new Set([...(process.user.additionalGids ?? []), ...groups.filter((gid) => gid > 0)]);
  if (all.size > 0) process.user.additionalGids = [...all];
}
