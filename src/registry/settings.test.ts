import { expect, test } from "bun:test";
import { defaultSettings, parseSettings, withFlags, type SettingsFlags } from "./settings.ts";

const none: SettingsFlags = { s3: "", proxy: [], webhook: [], "metrics-addr": "", "gc-interval": 0, "cache-limit": 0 };

test("what is not set has its default, what is set is read by its kind", () => {
  expect(parseSettings({})).toEqual(defaultSettings());
  const settings = parseSettings({
    storage: { s3: { bucket: "b", prefix: "/a/b/", endpoint: "http://s3", "part-size": "1m" } },
    proxies: [{ prefix: "docker.io/", url: "https://me:p%40ss@registry-1.docker.io/", ttl: "1h30m" }],
    "cache-limit": "2g",
    gc: { interval: "7d", grace: "90s" },
    webhooks: [{ url: "http://hook/", actions: ["push"] }],
    metrics: { address: "127.0.0.1:9100" },
  });
  expect(settings.s3).toMatchObject({ bucket: "b", prefix: "a/b", partSize: 5 << 20, redirect: false });
  expect(settings.proxies).toEqual([
    { prefix: "docker.io", url: "https://registry-1.docker.io", username: "me", password: "p@ss", insecure: false, ttl: 5_400_000 },
  ]);
  expect([settings.cacheLimit, settings.gc]).toEqual([2 * 2 ** 30, { interval: 604_800_000, grace: 90_000 }]);
  expect(settings.webhooks[0]).toMatchObject({ name: "http://hook/", timeout: 10_000 });
});

test("what is wrong is named", () => {
  for (const [json, sentence] of [
    [{ storage: { s3: {} } }, '"registry.storage.s3.bucket" must be a string'],
    [{ proxies: [{ url: "ftp://x" }] }, '"registry.proxies[0].url" must be an HTTP address'],
    [{ proxies: {} }, '"registry.proxies" must be a list'],
    [{ gc: { interval: "soon" } }, '"registry.gc.interval" must be a duration'],
    [{ metrics: "yes" }, '"registry.metrics" must be an object'],
    [{ webhooks: [{ url: "file:///etc/hostname" }] }, '"registry.webhooks[0].url" must be an HTTP address'],
    [{ webhooks: [{ url: "x" }] }, '"registry.webhooks[0].url" must be an HTTP address'],
    [{ cache: 1 }, 'unknown key "registry.cache"'],
  ] as const) {
    expect(() => parseSettings(json)).toThrow(sentence);
  }
});

test("flags add to the file", () => {
  const file = parseSettings({ proxies: [{ prefix: "quay.io", url: "https://quay.io" }], metrics: { path: "/metrics" } });
  const settings = withFlags(file, {
    ...none,
    s3: "s3://b/p?endpoint=http://127.0.0.1:9&region=r&redirect=true",
    proxy: ["=http://127.0.0.1:5001"],
    webhook: ["http://hook"],
    "metrics-addr": "127.0.0.1:1",
    "gc-interval": 60_000_000_000,
    "cache-limit": 5,
  });
  expect(settings.s3).toMatchObject({ bucket: "b", prefix: "p", endpoint: "http://127.0.0.1:9", region: "r", redirect: true });
  expect(settings.proxies.map(({ prefix, insecure }) => [prefix, insecure])).toEqual([
    ["quay.io", false],
    ["", true],
  ]);
  expect([settings.metrics, settings.gc.interval, settings.cacheLimit]).toEqual([{ path: "/metrics", address: "127.0.0.1:1" }, 60_000, 5]);
  expect(withFlags(file, none)).toEqual(file);
  expect(() => withFlags(file, { ...none, proxy: ["docker.io"] })).toThrow("expected PREFIX=URL");
  expect(() => withFlags(file, { ...none, s3: "http://b" })).toThrow("expected s3://BUCKET/PREFIX");
});
