import { readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";
import { CONTAINER_DEFAULTS, type ContainerDefaults } from "../containers/container-defaults.ts";
import { wrongValue } from "./key-values.ts";

/** Keys of daemon.json (and flags of `lighter daemon`) that are about containers which say nothing themselves. */
export type ContainerKey =
  | "default-ulimits"
  | "default-ipc-mode"
  | "default-cgroupns-mode"
  | "no-new-privileges"
  | "seccomp-profile"
  | "cgroup-parent"
  | "cdi-spec-dirs"
  | "init-path";

/** Applies one key to the defaults. Throws `invalid` with a sentence about its value. */
export function applyContainerKey(given: Partial<ContainerDefaults>, key: ContainerKey, value: unknown): void {
  const wrong = (wanted: string): LighterError => wrongValue(key, wanted);
  const text = (): string => {
    if (typeof value !== "string") throw wrong("a string");
    return value;
  };
  const oneOf = <T extends string>(...words: T[]): T => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw wrong(words.map((word) => `"${word}"`).join(" or "));
    return found;
  };
  switch (key) {
    case "default-ulimits":
      given.ulimits = ulimits(value, wrong);
      return;
    case "default-ipc-mode":
      given.ipcMode = oneOf("private", "shareable");
      return;
    case "default-cgroupns-mode":
      given.cgroupnsMode = oneOf("private", "host");
      return;
    case "no-new-privileges":
      if (typeof value !== "boolean") throw wrong("true or false");
      given.noNewPrivileges = value;
      return;
    case "seccomp-profile":
      given.seccompProfile = seccompProfile(text());
      return;
    case "cgroup-parent":
      given.cgroupParent = text();
      return;
    case "cdi-spec-dirs":
      if (!Array.isArray(value) || !value.every((item) => typeof item === "string" && item.startsWith("/")))
        throw wrong("a list of absolute paths");
      given.cdiSpecDirs = value as string[];
      return;
    case "init-path":
      given.initPath = text();
      return;
  }
}

/** Whether a key of daemon.json is about containers. */
export function isContainerKey(key: string): key is ContainerKey {
  return [
    "default-ulimits",
    "default-ipc-mode",
    "default-cgroupns-mode",
    "no-new-privileges",
    "seccomp-profile",
    "cgroup-parent",
    "cdi-spec-dirs",
    "init-path",
  ].includes(key);
}

/** All defaults: what was given over Docker's. */
export function completeDefaults(given: Partial<ContainerDefaults>): ContainerDefaults {
  return { ...CONTAINER_DEFAULTS, ...given };
}

/** One `--default-ulimit nofile=1024:2048`. Throws `invalid`. */
export function applyDefaultUlimit(given: Partial<ContainerDefaults>, text: string): void {
  const match = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (match === null) throw new LighterError("invalid", `invalid ulimit argument: ${text}`);
  const [, Name = "", soft = "0", hard = soft] = match;
  given.ulimits = [...(given.ulimits ?? []).filter((ulimit) => ulimit.Name !== Name), { Name, Soft: Number(soft), Hard: Number(hard) }];
}

function ulimits(value: unknown, wrong: (wanted: string) => LighterError): ContainerDefaults["ulimits"] {
  const wanted = 'an object like {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 2048}}';
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(wanted);
  return Object.entries(value as Record<string, unknown>).map(([name, limit]) => {
    const { Soft, Hard } = (limit ?? {}) as { Soft?: unknown; Hard?: unknown };
    if (typeof Soft !== "number" || typeof Hard !== "number") throw wrong(wanted);
    return { Name: name, Soft, Hard };
  });
}

function seccompProfile(value: string): string | undefined {
  if (value === "" || value === "builtin") return undefined;
  if (value === "unconfined") return value;
  try {
    return readFileSync(value, "utf8");
  } catch (cause) {
    throw new LighterError("invalid", `Cannot use "seccomp-profile": ${(cause as Error).message}`, { cause });
  }
}
