import { LighterError } from "../base/errors.ts";
import type { Descriptor, Platform } from "./image.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = {
  i386: "386",
  i686: "386",
  x86_64: "amd64",
  "x86-64": "amd64",
  x64: "amd64",
  aarch64: "arm64",
  ppc64el: "ppc64le",
};

/** The architecture of this process in the words of images. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: "linux", architecture: process.arch === "ia32" ? "386" : process.arch });
}

/** One spelling for each platform: aliases resolved, default variants left out (arm64 means v8, amd64 v1) or filled in (arm means v7). */
export function normalizePlatform(platform: Platform): Platform {
  const { variant: _, ...rest } = platform;
  const os = platform.os.toLowerCase() === "macos" ? "darwin" : platform.os.toLowerCase();
  const asked = platform.architecture.toLowerCase();
  let architecture = ARCHITECTURES[asked] ?? asked;
  let variant = (platform.variant ?? "").toLowerCase();
  if (/^\d/.test(variant)) variant = `v${variant}`;
  if (architecture === "armhf" || architecture === "armel") {
    variant ||= architecture === "armel" ? "v6" : "v7";
    architecture = "arm";
  }
  if (architecture === "arm" && variant === "") variant = "v7";
  if ((architecture === "arm64" && variant === "v8") || (architecture === "amd64" && variant === "v1")) variant = "";
  return { ...rest, os, architecture, ...(variant === "" ? {} : { variant }) };
}

/** `linux/arm64/v8`, `linux` or `arm64` as `--platform` takes them, what is missing filled in from this host. Throws `invalid`. */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().split("/");
  const [first = "", second, variant] = parts;
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.()-]+$/.test(part)))
    throw new LighterError("invalid", `"${text}": unknown operating system or architecture: invalid argument`);
  const host = hostPlatform();
  if (second !== undefined) return normalizePlatform({ os: first, architecture: second, ...(variant === undefined ? {} : { variant }) });
  if (KNOWN_OS.has(first.toLowerCase())) return { ...host, os: normalizePlatform({ ...host, os: first }).os };
  const alone = normalizePlatform({ os: "linux", architecture: first });
  if (KNOWN_ARCHITECTURES.has(alone.architecture)) return alone;
  throw new LighterError("invalid", `"${text}": unknown operating system or architecture: invalid argument`);
}

const KNOWN_OS = new Set(["linux", "windows", "darwin", "macos", "freebsd", "openbsd", "netbsd", "solaris", "wasi"]);
const KNOWN_ARCHITECTURES = new Set("386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x wasm".split(" "));

/** `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = normalizePlatform(platform);
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}

/** What runs on a platform, best first: an arm64 machine runs arm v8 down to v5, an amd64 one its lower levels and 386. */
function runsOn(platform: Platform): string[] {
  const { architecture, variant = "" } = normalizePlatform(platform);
  const level = Number(variant.replace(/^v/, "").split(".")[0]) || 0;
  const down = (name: string, from: number, to: number): string[] =>
    Array.from({ length: Math.max(0, from - to + 1) }, (_, index) => `${name}/v${from - index}`);
  if (architecture === "amd64") return [...down("amd64", level, 2), "amd64", "386"];
  if (architecture === "arm64") return [...down("arm64", level, 9), "arm64", ...down("arm", 8, 5)];
  if (architecture === "arm") return down("arm", level, 5);
  return [variant === "" ? architecture : `${architecture}/${variant}`];
}

/** How well something made for `offered` runs on `wanted`: 0 is exact, higher is worse, undefined is not at all. */
export function platformDistance(wanted: Platform, offered: Platform): number | undefined {
  const have = normalizePlatform(offered);
  if (have.os !== normalizePlatform(wanted).os) return undefined;
  const index = runsOn(wanted).indexOf(have.variant === undefined ? have.architecture : `${have.architecture}/${have.variant}`);
  return index < 0 ? undefined : index;
}

/** Whether two descriptions mean the same platform. */
export function samePlatform(a: Platform, b: Platform): boolean {
  return formatPlatform(a) === formatPlatform(b);
}

/** Whether an entry of an index is not an image to run, but says something about one (provenance, bill of materials). */
export function isAttestation(descriptor: Descriptor): boolean {
  return descriptor.annotations?.["vnd.docker.reference.type"] !== undefined || descriptor.platform?.os === "unknown";
}

/**
 * The entries of an index that run on `wanted`, best first; of equals, the earlier one.
 * Entries that name no platform come last: only their configuration can tell.
 */
export function manifestsFor(manifests: readonly Descriptor[], wanted: Platform): Descriptor[] {
  return manifests
    .filter((descriptor) => !isAttestation(descriptor))
    .map((descriptor) => ({
      descriptor,
      distance: descriptor.platform === undefined ? Number.MAX_SAFE_INTEGER : platformDistance(wanted, descriptor.platform),
    }))
    .filter((item): item is { descriptor: Descriptor; distance: number } => item.distance !== undefined)
    .sort((a, b) => a.distance - b.distance)
    .map((item) => item.descriptor);
}

/** The entry of an index that runs best on `wanted`, if any does. */
export function chooseManifest(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  return manifestsFor(manifests, wanted)[0];
}
