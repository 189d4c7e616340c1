import { readFileSync } from "node:fs";
import { arch, release } from "node:os";
import { buildInfo } from "../base/build-info.ts";
import type { SystemVersion } from "../wire/engine-api.ts";

const build = buildInfo();

/** The version of this Lighter. */
export const VERSION = build.version;

/** The newest and the oldest version of Docker's Engine API that the doors speak. */
export const API_VERSION = "1.56";
export const MIN_API_VERSION = "1.24";

/** The machine's architecture in Go's words, as images name it: `amd64`, `arm64`. */
export function goArch(): string {
  const names: Record<string, string> = { x64: "amd64", ia32: "386" };
  return names[arch()] ?? arch();
}

/** The machine's architecture in the kernel's words: `x86_64`, `aarch64`. */
export function machineArch(): string {
  const names: Record<string, string> = { x64: "x86_64", arm64: "aarch64" };
  return names[arch()] ?? arch();
}

/** What `/etc/os-release` says of a key (`PRETTY_NAME`), unquoted; empty when it says nothing. */
export function osRelease(key: string): string {
  for (const path of ["/etc/os-release", "/usr/lib/os-release"]) {
    try {
      const match = new RegExp(`^${key}=(.*)$`, "m").exec(readFileSync(path, "utf8"));
      return (match?.[1] ?? "").replace(/^(["'])(.*)\1$/, "$2");
    } catch {
      continue;
    }
  }
  return "";
}

/** The answer of `/version`. `components` are the programs that run containers, by name and version. */
export function systemVersion(experimental: boolean, components: { name: string; version: string }[]): SystemVersion {
  const details = {
    ApiVersion: API_VERSION,
    Arch: goArch(),
    BuildTime: build.time,
    Experimental: String(experimental),
    GitCommit: build.commit,
    GoVersion: `bun${Bun.version}`,
    KernelVersion: release(),
    MinAPIVersion: MIN_API_VERSION,
    Os: "linux",
  };
  return {
    Platform: { Name: "Lighter" },
    Components: [
      { Name: "Engine", Version: VERSION, Details: details },
      ...components.map(({ name, version }) => ({ Name: name, Version: version, Details: { GitCommit: "" } })),
    ],
    Version: VERSION,
    ApiVersion: API_VERSION,
    MinAPIVersion: MIN_API_VERSION,
    GitCommit: build.commit,
    GoVersion: details.GoVersion,
    Os: "linux",
    Arch: goArch(),
    KernelVersion: release(),
    BuildTime: build.time,
  };
}
