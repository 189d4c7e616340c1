import { release } from "node:os";
import { LighterError, messageOf } from "../base/errors.ts";
import type { SeccompFilter } from "../linux/spawn-protocol.ts";
import { exactly, parseExactly, type RawNumber } from "../base/exact-json.ts";
import type { Seccomp } from "../oci/spec.ts";
import { DEFAULT_PROFILE } from "./seccomp-default.ts";

/** When a rule of Docker's profile format counts: all of what is named must hold (includes), or none of it (excludes). */
export interface Condition {
  caps?: string[];
  arches?: string[];
  /** `<major>.<minor>`: this kernel or a newer one. */
  minKernel?: string;
}

/** One rule of Docker's profile format. */
export interface DockerRule {
  names?: string[];
  name?: string;
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number | RawNumber; valueTwo?: number | RawNumber; op: string }[] | null;
  includes?: Condition;
  excludes?: Condition;
}

/** Docker's seccomp profile format, a superset of the OCI's. https://docs.docker.com/engine/security/seccomp/ */
export interface DockerProfile {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  archMap?: { architecture: string; subArchitectures?: string[] | null }[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: DockerRule[] | null;
}

/** This machine in the words of rules and of libseccomp. */
const ARCHITECTURES: Partial<Record<NodeJS.Architecture, { rule: string; oci: string }>> = {
  x64: { rule: "amd64", oci: "SCMP_ARCH_X86_64" },
  arm64: { rule: "arm64", oci: "SCMP_ARCH_AARCH64" },
  riscv64: { rule: "riscv64", oci: "SCMP_ARCH_RISCV64" },
};

/**
 * The profile with its conditions decided for these capabilities (the bounding set), this architecture and kernel.
 * Without `json` it is Docker's default. Throws `invalid` with Docker's text for a profile that makes no sense.
 */
export function resolveProfile(json: string | undefined, capabilities: readonly string[]): Seccomp {
  const profile = json === undefined ? DEFAULT_PROFILE : parseProfile(json);
  const { rule, oci } = ARCHITECTURES[process.arch] ?? { rule: process.arch, oci: "" };
  const mapped = profile.archMap?.find((entry) => entry.architecture === oci);
  const has = (condition: Condition, all: boolean): boolean[] => [
    ...(condition.arches?.length ? [condition.arches.includes(rule)] : []),
    ...(condition.caps?.length ? [condition.caps[all ? "every" : "some"]((cap) => capabilities.includes(cap))] : []),
    ...(condition.minKernel ? [kernelAtLeast(condition.minKernel)] : []),
  ];
  const counts = ({ includes = {}, excludes = {} }: DockerRule): boolean =>
    has(includes, true).every(Boolean) && !has(excludes, false).some(Boolean);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: mapped ? [mapped.architecture, ...(mapped.subArchitectures ?? [])] : (profile.architectures ?? []),
    ...(profile.flags?.length ? { flags: profile.flags } : {}),
    ...(profile.listenerPath ? { listenerPath: profile.listenerPath } : {}),
    ...(profile.listenerMetadata ? { listenerMetadata: profile.listenerMetadata } : {}),
    syscalls: (profile.syscalls ?? []).filter(counts).map(({ names, name, action, errnoRet, args }) => ({
      names: names ?? (name === undefined ? [] : [name]),
      action,
      ...(errnoRet === undefined ? {} : { errnoRet }),
      ...(args?.length ? { args } : {}),
    })),
  };
}

/** The resolved profile as libseccomp's compiler takes it. */
export function toFilter(profile: Seccomp): SeccompFilter {
  const EPERM = 1;
  return {
    defaultAction: profile.defaultAction,
    defaultErrno: profile.defaultErrnoRet ?? EPERM,
    architectures: profile.architectures ?? [],
    rules: (profile.syscalls ?? []).map(({ names, action, errnoRet = EPERM, args = [] }) => ({
      names,
      action,
      errno: errnoRet,
      args: args.map((arg) => ({ ...arg, value: exactly(arg.value), valueTwo: exactly(arg.valueTwo ?? 0) })),
    })),
  };
}

function parseProfile(json: string): DockerProfile {
  let profile: DockerProfile;
  try {
    profile = parseExactly(json) as DockerProfile;
  } catch (error) {
    throw new LighterError("invalid", `Decoding seccomp profile failed: ${messageOf(error)}`, { cause: error });
  }
  if (typeof profile !== "object" || profile === null || Array.isArray(profile) || typeof profile.defaultAction !== "string")
    throw new LighterError("invalid", "Decoding seccomp profile failed: a profile is an object with a defaultAction");
  if (profile.architectures?.length && profile.archMap?.length)
    throw new LighterError(
      "invalid",
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
  if (profile.syscalls?.some((rule) => rule.name !== undefined && rule.name !== "" && rule.names?.length))
    throw new LighterError("invalid", "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'");
  return profile;
}

function kernelAtLeast(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [here = 0, hereMinor = 0] = release().split(".").map(Number);
  return here > major || (here === major && hereMinor >= minor);
}
