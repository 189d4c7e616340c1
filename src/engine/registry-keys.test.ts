import { expect, test } from "bun:test";
import { applyRegistryKey, isRegistryKey, type RegistryConfig } from "./registry-keys.ts";

test.each<[string, unknown, Partial<RegistryConfig>]>([
  ["registry-mirrors", ["https://m.example/", "http://u:p@n:5000"], { registryMirrors: ["https://m.example/", "http://u:p@n:5000"] }],
  ["mirrors", { "ghcr.io": ["https://m.example/path"] }, { mirrors: { "ghcr.io": ["https://m.example/path"] } }],
  ["registry-config-path", "/etc/x", { registryConfigPath: ["/etc/x"] }],
  ["registry-config-path", ["/etc/x", "/etc/y"], { registryConfigPath: ["/etc/x", "/etc/y"] }],
  ["proxies", { "http-proxy": "a:1", "https-proxy": "b:2", "no-proxy": "c" }, { proxies: { http: "a:1", https: "b:2", none: "c" } }],
  ["max-concurrent-downloads", 7, { maxConcurrentDownloads: 7 }],
  ["max-concurrent-downloads", 0, { maxConcurrentDownloads: 3 }],
  ["max-concurrent-uploads", 0, { maxConcurrentUploads: 5 }],
  ["max-download-attempts", 2, { maxDownloadAttempts: 2 }],
])("%s: %j", (key, value, expected) => {
  const given: Partial<RegistryConfig> = {};
  expect(isRegistryKey(key)).toBe(true);
  applyRegistryKey(given, key, value);
  expect(given).toEqual(expected);
});

test.each<[string, unknown, string]>([
  ["registry-mirrors", "https://m", '"registry-mirrors": it must be a list of strings'],
  ["registry-mirrors", ["foo"], 'invalid mirror: unsupported scheme "" in "foo"'],
  ["registry-mirrors", ["ftp://foo"], 'invalid mirror: unsupported scheme "ftp" in "ftp://foo"'],
  ["registry-mirrors", ["https://foo/a"], 'invalid mirror: path, query, or fragment at end of the URI "https://foo/a"'],
  ["registry-mirrors", ["https://foo/?a=b"], 'invalid mirror: path, query, or fragment at end of the URI "https://foo/?a=b"'],
  ["mirrors", ["https://m"], '"mirrors": it must be an object like'],
  ["mirrors", { "ghcr.io": "https://m" }, '"mirrors.ghcr.io": it must be a list of strings'],
  ["mirrors", { "https://ghcr.io": ["https://m"] }, '"https://ghcr.io" is none'],
  ["proxies", { "ftp-proxy": "x" }, 'not "ftp-proxy"'],
  ["max-concurrent-downloads", -1, "invalid max concurrent downloads: -1"],
  ["max-concurrent-uploads", 1.5, "invalid max concurrent uploads: 1.5"],
  ["max-download-attempts", 0, "invalid max download attempts: 0"],
])("%s: %j is refused", (key, value, sentence) => {
  expect(() => applyRegistryKey({}, key, value)).toThrow(sentence);
});

test("other keys are not about registries", () => {
  for (const key of ["labels", "toString", "constructor"]) expect(isRegistryKey(key)).toBe(false);
});
