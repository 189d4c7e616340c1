import { LighterError } from "../base/errors.ts";
import type { TaskSpec } from "../runtime/runtime.ts";

/** What `--security-opt` says. */
export interface SecurityOptions {
  /** Undefined where the daemon's default counts. */
  noNewPrivileges: boolean | undefined;
  seccomp: TaskSpec["seccomp"];
  /** An AppArmor profile that was asked for. */
  apparmor: string | undefined;
  /** `systempaths=unconfined`: nothing of /proc and /sys is masked. */
  systemPathsUnconfined: boolean;
  /** `writable-cgroups`: whether /sys/fs/cgroup can be written to; undefined for what `--privileged` entails. */
  writableCgroups: boolean | undefined;
}

/** Reads the values of `--security-opt`. SELinux labels are accepted and have no effect where SELinux is absent. Throws `invalid` with Docker's texts. */
export function parseSecurityOptions(values: readonly string[], privileged: boolean, defaultProfile?: string): SecurityOptions {
  const result: SecurityOptions = {
    noNewPrivileges: undefined,
    seccomp: privileged || defaultProfile === "unconfined" ? { kind: "unconfined" } : profileOf(defaultProfile),
    apparmor: undefined,
    systemPathsUnconfined: false,
    writableCgroups: undefined,
  };
  for (const value of values) {
    if (value === "no-new-privileges") result.noNewPrivileges = true;
    else if (value === "disable") continue;
    else takePair(value, result);
  }
  return result;
}

function takePair(value: string, result: SecurityOptions): void {
  const at = value.search(value.includes("=") ? /=/ : /:/);
  if (at < 0) throw new LighterError("invalid", `invalid --security-opt 1: "${value}"`);
  const key = value.slice(0, at);
  const text = value.slice(at + 1);
  switch (key) {
    case "label":
      return;
    case "apparmor":
      result.apparmor = text;
      return;
    case "seccomp":
      result.seccomp = seccompOf(text);
      return;
    case "no-new-privileges":
      result.noNewPrivileges = switchOf(text, value);
      return;
    case "systempaths":
      if (text !== "unconfined") throw new LighterError("invalid", `invalid --security-opt 2: "${value}"`);
      result.systemPathsUnconfined = true;
      return;
    case "writable-cgroups":
      result.writableCgroups = switchOf(text, value);
      return;
    default:
      throw new LighterError("invalid", `invalid --security-opt 2: "${value}"`);
  }
}

function profileOf(json: string | undefined): TaskSpec["seccomp"] {
  return json === undefined ? { kind: "default" } : { kind: "custom", json };
}

/** What Go reads as a boolean. */
function switchOf(text: string, option: string): boolean {
  if (!/^(?:true|false|1|0|t|f|T|F|TRUE|FALSE|True|False)$/.test(text))
    throw new LighterError("invalid", `invalid --security-opt 2: "${option}"`);
  return /^(?:1|t)/i.test(text);
}

function seccompOf(text: string): TaskSpec["seccomp"] {
  if (text === "unconfined") return { kind: "unconfined" };
  if (text === "builtin") return { kind: "default" };
  try {
    const profile: unknown = JSON.parse(text);
    if (typeof profile !== "object" || profile === null || Array.isArray(profile)) throw new Error("not an object");
    return { kind: "custom", json: text };
  } catch (cause) {
    throw new LighterError("invalid", `Decoding seccomp profile failed: ${(cause as Error).message}`, { cause });
  }
}
