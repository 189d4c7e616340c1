import { expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import type { ImageConfig, Index, Manifest } from "../../src/oci/image.ts";
import { shippedImages } from "../../src/registry/shipped.ts";
import { shippedData } from "../build.ts";
import { GREETING } from "./greeting.ts";
import { helloWorld, program } from "./hello-world.ts";

test("the executable carries what the sources make", async () => {
  const [carried] = await shippedImages();
  const made = helloWorld();
  expect(carried?.index).toBe(made.index);
  expect(carried?.blobs).toEqual(made.blobs);
  expect(shippedData()).toContain(made.index);
});

test("every descriptor points to a blob of that digest and size, and the layer's archive is the configuration's diff id", () => {
  const { index, blobs } = helloWorld();
  const blob = (digest: string): Uint8Array => {
    const bytes = blobs.find((candidate) => candidate.digest === digest)?.bytes ?? new Uint8Array();
    expect(digestOf(bytes) as string).toBe(digest);
    return bytes;
  };
  const json = <T>(digest: string): T => JSON.parse(new TextDecoder().decode(blob(digest))) as T;
  const { manifests } = json<Index>(index);
  expect(manifests.map(({ platform }) => platform?.architecture)).toEqual(["amd64", "arm64"]);
  for (const { digest, size, platform } of manifests) {
    expect(blob(digest).length).toBe(size);
    const manifest = json<Manifest>(digest);
    const config = json<ImageConfig>(manifest.config.digest);
    expect(config.architecture).toBe(platform?.architecture ?? "");
    const layer = blob(manifest.layers[0]?.digest ?? "");
    expect(layer.length).toBeLessThan(8192);
    expect(config.rootfs.diff_ids).toEqual([digestOf(gunzipSync(layer))]);
  }
});

test("GNU tar reads the layer", async () => {
  const layer = helloWorld().blobs[0]?.bytes ?? new Uint8Array();
  const tar = Bun.spawn(["tar", "-tvzf", "-"], { stdin: layer, env: { TZ: "UTC" } });
  expect(await tar.stdout.text()).toMatch(/^-rwxr-xr-x 0\/0 +1284 2026-11-22 00:00 hello\n$/);
  expect(await tar.exited).toBe(0);
});

test.if(process.arch === "x64" || process.arch === "arm64")(
  "the program for this machine prints the greeting and exits 0, and 1 when it cannot",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "hello-"));
    const path = join(folder, "hello");
    await Bun.write(path, program(process.arch === "x64" ? "amd64" : "arm64"));
    await chmod(path, 0o755);
    const good = Bun.spawn([path]);
    expect(await good.stdout.text()).toBe(GREETING);
    expect(await good.exited).toBe(0);
    expect(await Bun.spawn(["sh", "-c", `exec ${path} > /dev/full`]).exited).toBe(1);
    await rm(folder, { recursive: true });
  },
);
