import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { openDistribution } from "../distribution/open.ts";
import { completeConfig, type EngineConfig } from "./config.ts";
import { openMirrors, type Mirrors } from "./mirrors.ts";
import { distributionOptions } from "./reload.ts";

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "lighter-mirrors-"))));
afterAll(() => rm(folder, { recursive: true }));

function open(given: Partial<EngineConfig> = {}): { mirrors: Mirrors; config: EngineConfig; file: () => Promise<unknown> } {
  const path = join(folder, `${crypto.randomUUID()}.json`);
  const config = completeConfig({ dataRoot: folder, configFile: path, registryConfigPath: [join(folder, "certs.d")], ...given });
  const distribution = openDistribution(distributionOptions(config));
  const mirrors = openMirrors({
    config,
    distribution,
    apply: (next) => distribution.configure(distributionOptions(Object.assign(config, next))),
  });
  return { mirrors, config, file: () => Bun.file(path).json() };
}

const urls = (mirrors: Mirrors, registry: string): string[] => mirrors.list(registry).map(({ url }) => url);

test("docker.io: Docker's key takes what Docker takes, a path goes to the map; the order is that of asking", async () => {
  const { mirrors, file } = open();
  await mirrors.add("docker.io", "https://b.example/", { first: false });
  await mirrors.add("", "https://a.example", { first: true });
  await mirrors.add("index.docker.io", "https://c.example/hub", { first: false });
  expect(await file()).toEqual({
    "registry-mirrors": ["https://a.example", "https://b.example"],
    mirrors: { "docker.io": ["https://c.example/hub"] },
  });
  expect(urls(mirrors, "docker.io")).toEqual([
    "https://a.example",
    "https://b.example",
    "https://c.example/hub",
    "https://registry-1.docker.io",
  ]);
  await mirrors.remove("docker.io", "https://c.example/hub/");
  await mirrors.remove("docker.io", "https://a.example");
  expect(await file()).toEqual({ "registry-mirrors": ["https://b.example"] });
});

test("many at once: none is lost", async () => {
  const { mirrors } = open();
  await Promise.all(Array.from({ length: 10 }, (_, number) => mirrors.add("ghcr.io", `https://m${number}.example`, { first: false })));
  expect(urls(mirrors, "ghcr.io")).toHaveLength(11);
  expect(mirrors.list().map(({ registry }) => registry)).toEqual(Array.from({ length: 11 }, () => "ghcr.io"));
});

test("what cannot be done is said", async () => {
  const { mirrors, config } = open({ registryMirrors: ["https://flag.example"], fixedMirrors: true });
  const failed = (work: Promise<void>): Promise<string> => work.then(() => "", messageOf);
  const later = { first: false };
  expect(await failed(mirrors.add("docker.io", "https://x.example", later))).toContain("started with --registry-mirror");
  expect(await failed(mirrors.remove("docker.io", "https://flag.example"))).toContain("started with --registry-mirror");
  expect(await failed(mirrors.add("docker.io", "https://flag.example", later))).toContain("docker.io has it already");
  expect(await failed(mirrors.add("a/b", "https://x.example", later))).toBe('"a/b" is no registry');
  expect(await failed(mirrors.add("a.example", "x.example", later))).toContain("unsupported scheme");
  expect(await failed(mirrors.remove("a.example", "https://x.example"))).toBe("No such mirror of a.example: https://x.example");
  await mkdir(join(folder, "certs.d", "t.example"), { recursive: true });
  await Bun.write(join(folder, "certs.d", "t.example", "hosts.toml"), '[host."https://toml.example"]\n');
  expect(await failed(mirrors.remove("t.example", "https://toml.example"))).toContain("which is not written from here");
  expect(config.mirrors).toEqual({});
  const bare = open({ configFile: undefined });
  expect(await failed(bare.mirrors.add("a.example", "https://x.example", later))).toContain("no configuration file");
});
