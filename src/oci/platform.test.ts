import { expect, test } from "bun:test";
import type { Descriptor, Platform } from "./image.ts";
import { chooseManifest, formatPlatform, hostPlatform, manifestsFor, normalizePlatform, parsePlatform, samePlatform } from "./platform.ts";

const made = (architecture: string, variant?: string, os = "linux"): Descriptor => ({
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: `sha256:${architecture}${variant ?? ""}${os}`,
  size: 1,
  platform: { architecture, os, ...(variant === undefined ? {} : { variant }) },
});

test("one spelling for each platform", () => {
  const spell = (os: string, architecture: string, variant?: string): string =>
    formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
  expect(spell("Linux", "x86_64")).toBe("linux/amd64");
  expect(spell("linux", "aarch64", "v8")).toBe("linux/arm64");
  expect(spell("linux", "arm64", "8")).toBe("linux/arm64");
  expect(spell("linux", "armhf")).toBe("linux/arm/v7");
  expect(spell("linux", "armel")).toBe("linux/arm/v6");
  expect(spell("linux", "arm")).toBe("linux/arm/v7");
  expect(spell("linux", "arm", "5")).toBe("linux/arm/v5");
  expect(spell("linux", "i386")).toBe("linux/386");
  expect(spell("macos", "x86-64", "v1")).toBe("darwin/amd64");
  expect(normalizePlatform({ os: "windows", architecture: "amd64", "os.version": "10.0" })["os.version"]).toBe("10.0");
});

test("--platform takes one, two or three parts", () => {
  expect(formatPlatform(parsePlatform("linux/arm64/v8"))).toBe("linux/arm64");
  expect(formatPlatform(parsePlatform("arm64"))).toBe("linux/arm64");
  expect(samePlatform(parsePlatform("linux"), hostPlatform())).toBe(true);
  for (const bad of ["", "linux/", "a/b/c/d", "linux/am d64", "nothing"])
    expect(() => parsePlatform(bad)).toThrow("unknown operating system");
});

test("the nearest manifest of an index is chosen", () => {
  const index = [
    made("386"),
    made("amd64"),
    made("arm", "v6"),
    made("arm", "v7"),
    made("arm64", "v8"),
    made("amd64", undefined, "windows"),
  ];
  const choose = (platform: Platform): string | undefined => chooseManifest(index, platform)?.digest;
  expect(choose({ os: "linux", architecture: "amd64" })).toBe("sha256:amd64linux");
  expect(choose({ os: "linux", architecture: "amd64", variant: "v3" })).toBe("sha256:amd64linux");
  expect(choose({ os: "linux", architecture: "arm64" })).toBe("sha256:arm64v8linux");
  expect(choose({ os: "linux", architecture: "arm", variant: "v6" })).toBe("sha256:armv6linux");
  expect(choose({ os: "linux", architecture: "arm", variant: "v5" })).toBeUndefined();
  expect(choose({ os: "linux", architecture: "s390x" })).toBeUndefined();
  expect(manifestsFor(index, { os: "linux", architecture: "arm64" }).map((d) => d.digest)).toEqual([
    "sha256:arm64v8linux",
    "sha256:armv7linux",
    "sha256:armv6linux",
  ] as never);
});

test("amd64 levels go down, never up; attestations are no images; unnamed platforms come last", () => {
  const wanted = { os: "linux", architecture: "amd64", variant: "v3" };
  expect(chooseManifest([made("amd64", "v4"), made("amd64", "v2"), made("amd64", "v3")], wanted)?.platform?.variant).toBe("v3");
  expect(chooseManifest([made("amd64", "v2")], { os: "linux", architecture: "amd64" })).toBeUndefined();
  const unnamed: Descriptor = { mediaType: "m", digest: "sha256:unnamed", size: 1 };
  const attestation = { ...made("unknown", undefined, "unknown"), annotations: { "vnd.docker.reference.type": "attestation-manifest" } };
  expect(chooseManifest([attestation, unnamed, made("amd64")], wanted)?.digest).toBe("sha256:amd64linux");
  expect(chooseManifest([attestation, unnamed], wanted)?.digest).toBe("sha256:unnamed");
  expect(chooseManifest([attestation], wanted)).toBeUndefined();
});
