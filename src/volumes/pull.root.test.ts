import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { Content } from "../content/content.ts";
import { openContent } from "../content/open.ts";
import { hostileRegistry, type HostileRegistry } from "../distribution/hostile.suite.ts";
import { openDistribution } from "../distribution/open.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Descriptor } from "../oci/image.ts";
import { byteString, type TarEntry } from "../oci/tar-entry.ts";
import { TAR_END, tarHeader } from "../oci/tar-write.ts";
import { State } from "../state/state.ts";
import { openVolumes } from "./open.ts";
import type { Volumes } from "./volumes.ts";

const distribution = openDistribution({ insecureRegistries: [], registryMirrors: [], certificateDirectories: [], userAgent: "test" });
let dataRoot: string;
let state: State;
let content: Content;
let volumes: Volumes;
let registry: HostileRegistry;

beforeAll(async () => {
  dataRoot = mkdtempSync(join(tmpdir(), "lighter-volume-pull-"));
  mkdirSync(join(dataRoot, "volumes"));
  state = new State(join(dataRoot, "state.db"));
  content = await openContent({ dataRoot, state, roots: [] });
  volumes = openVolumes({ state, content, distribution, dataRoot });
  registry = await hostileRegistry();
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await content?.settled();
  state?.close();
  rmSync(dataRoot, { recursive: true, force: true });
});

const NOBODY = { user: "", group: "", uid: 0, gid: 0, size: 0, mtime: 0n, major: 0, minor: 0 };

async function xz(bytes: Uint8Array): Promise<Uint8Array> {
  const child = Bun.spawn(["xz", "-c"], { stdin: bytes, stdout: "pipe" });
  return new Response(child.stdout).bytes();
}

function entry(type: TarEntry["type"], path: string, link = ""): Uint8Array {
  return tarHeader({ ...NOBODY, type, path: byteString(path), link: byteString(link), mode: 0o755 });
}

/** A volume's artifact with an archive of these members for each layer. */
function offer(tag: string, layers: Uint8Array[][], like: object = {}): string {
  const described = JSON.stringify({ v: 1, name: `named-${tag}`, driver: "local", labels: null, options: null, ...like });
  registry.addManifest("volumes", tag, {
    schemaVersion: 2,
    mediaType: MEDIA.ociManifest,
    config: registry.addBlob(new TextEncoder().encode(described), "application/vnd.lighter.volume.config.v1+json"),
    layers: layers.map((members) => registry.addBlob(Buffer.concat([...members, TAR_END]), MEDIA.ociLayer)),
  });
  return `${registry.host}/volumes:${tag}`;
}

/** Why a pull is refused; nothing of it may be left. */
async function refusal(reference: string, name: string, force = false): Promise<string> {
  const before = readdirSync(join(dataRoot, "volumes"));
  const why = await volumes.pull(reference, { name, force, progress: () => undefined }).then(
    () => "pulled",
    (error: unknown) => String(error),
  );
  expect(readdirSync(join(dataRoot, "volumes"))).toEqual(before);
  return why;
}

describe.skipIf(process.getuid?.() !== 0)("pulling a volume from a registry that means no good", () => {
  test("the place of its files is a directory, not a link to those of the machine", async () => {
    const victim = (await volumes.create({ name: "victim" })).Mountpoint;
    writeFileSync(join(victim, "mine"), "");
    const [directory, link] = [entry("directory", "_data/"), entry("symlink", "_data", "/")];
    for (const [tag, layers] of Object.entries({
      at_once: [[link]],
      later: [[directory, entry("file", "_data/file")], [link]],
      relative: [[directory, entry("symlink", "_data", "../victim/_data")]],
      fifo: [[entry("fifo", "_data")]],
      beside: [[directory, entry("file", "beside")]],
    })) {
      const reference = offer(tag, layers);
      expect(await refusal(reference, `new-${tag}`)).toContain("it is no volume");
      expect(await refusal(reference, "victim", true)).toContain("it is no volume");
    }
    expect(readdirSync(victim)).toEqual(["mine"]);
    expect(volumes.list(new Map()).map(({ Name }) => Name)).toEqual(["victim"]);
  });

  test("names and hard links lead to its own files only", async () => {
    writeFileSync(join(dataRoot, "secret"), "");
    for (const [index, member] of [
      entry("file", "_data/../../up"),
      ...["/etc/passwd", "../../secret", join(dataRoot, "secret")].map((to) => entry("link", "_data/linked", to)),
    ].entries())
      expect(await refusal(offer(`out-${index}`, [[entry("directory", "_data/"), member]]), "out")).toMatch(
        /leads out of the archive's root|does not exist/,
      );
    expect(existsSync(join(dataRoot, "up"))).toBe(false);
  });

  test("an archive that ends before its blob does is no way around the digest", async () => {
    const large = tarHeader({ ...NOBODY, type: "file", path: byteString("_data/large"), link: "", mode: 0o644, size: 4 << 20 });
    const reference = offer("swapped", [[entry("directory", "_data/"), large, new Uint8Array(4 << 20)]]);
    const { layers } = (await (await fetch(`http://${registry.host}/v2/volumes/manifests/swapped`)).json()) as { layers: Descriptor[] };
    const [{ digest, size } = { digest: digestOf(""), size: 0 }] = layers;
    const other = Buffer.concat([entry("directory", "_data/"), entry("file", "_data/other"), TAR_END]);
    for (const packed of [gzipSync(other), zstdCompressSync(other), other, await xz(other)]) {
      const blob = Buffer.concat([packed, Buffer.alloc(size - packed.length, "x")]);
      registry.faults.swap = new Map([[digest, registry.addBlob(blob).digest]]);
      expect(await refusal(reference, "swapped")).toMatch(/another digest|Cannot/);
    }
    registry.faults = {};
  });

  test("what unpacks to more than is allowed stops there, and leaves nothing", async () => {
    const bounded = openVolumes({ state, content, distribution, dataRoot, maxLayerSize: 1 << 20 });
    const zeros = (bytes: number): Uint8Array[] => [
      entry("directory", "_data/"),
      tarHeader({ ...NOBODY, type: "file", path: byteString("_data/zeros"), link: "", mode: 0o644, size: bytes }),
      new Uint8Array(bytes),
    ];
    const [bomb, small] = [offer("bomb", [zeros(4 << 20)]), offer("small", [zeros(1 << 19)])];
    const failed: unknown = await bounded.pull(bomb, { name: "bomb", progress: () => undefined }).catch((error: unknown) => error);
    expect((failed as Error).message).toBe(
      `Cannot unpack the volume's part: it unpacks to more than 1.049MB; where that is right, set "max-layer-size" in the daemon's configuration`,
    );
    expect(readdirSync(join(dataRoot, "volumes"))).not.toContain("bomb");
    expect(await bounded.pull(small, { name: "small", progress: () => undefined })).toMatchObject({ Name: "small" });
  });

  test("labels are a map, or the clients could show no volume any more", async () => {
    const reference = offer("labels", [[entry("directory", "_data/")]], { labels: ["a"] });
    expect(await refusal(reference, "labelled")).toContain("its configuration says nothing known");
    expect(existsSync(join(dataRoot, "volumes/labelled"))).toBe(false);
  });
});
