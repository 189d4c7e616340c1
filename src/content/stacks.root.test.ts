import { afterAll, expect, test } from "bun:test";
import { $ } from "bun";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chainIds, digestOf, hexOf } from "../oci/digest.ts";
import { type Descriptor, MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { describeTar, type Given, packedLayer, type PackedLayer, tarOf } from "./layer-fixture.ts";
import { openContent } from "./open.ts";

const able = process.getuid?.() === 0 && Bun.which("umoci") !== null;
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const work = mkdtempSync(join(tmpdir(), "lighter-stacks-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

function randomizer(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A tree as the layers so far make it: directories as maps, links to directories as texts, the rest as true. */
type Model = Map<string, Model | string | true>;

/** Random layers over few names, so that they meet: what one brings, the next changes, removes or replaces. */
class StackMaker {
  readonly #random: (below: number) => number;
  readonly #root: Model = new Map();

  constructor(random: (below: number) => number) {
    this.#random = random;
  }

  layer(): Given[] {
    const entries: Given[] = [];
    const used = new Set<string>();
    const files: string[] = [];
    for (let count = 0; count < 8; count++) this.#change(entries, used, files);
    return entries;
  }

  #name(): string {
    return "abcde"[this.#random(5)] ?? "a";
  }

  #change(entries: Given[], used: Set<string>, files: string[]): void {
    const parts: string[] = [];
    let here = this.#root;
    for (let depth = this.#random(4); depth > 0; depth--) {
      const part = this.#name();
      const next = here.get(part);
      const link = typeof next === "string" ? this.#linked(next) : undefined;
      if (next === true || (typeof next === "string" && link === undefined)) break;
      const path = [...parts, part].join("/");
      // What this layer removes, it does not write below; what it links, it does not go through.
      if (used.has(`-${path}`) || (link !== undefined && used.has(path))) return;
      const fresh: Model = new Map();
      if (next === undefined) here.set(part, fresh);
      if (this.#random(2) === 0 && link === undefined && !used.has(path)) this.#describe(entries, used, path);
      here = link ?? (next instanceof Map ? next : fresh);
      parts.push(part);
    }
    this.#leaf(entries, used, files, here, parts);
  }

  #describe(entries: Given[], used: Set<string>, path: string): void {
    used.add(path);
    entries.push({ path: `${path}/`, mode: 0o700 + this.#random(0o100), uid: this.#random(4) });
  }

  #linked(target: string): Model | undefined {
    const found = this.#root.get(target.slice(1));
    return found instanceof Map ? found : undefined;
  }

  #leaf(entries: Given[], used: Set<string>, files: string[], here: Model, parts: string[]): void {
    const name = this.#name();
    const path = [...parts, name].join("/");
    if (used.has(path) || used.has(`-${path}`)) return;
    // Below a link the same place has two names.
    const place = this.#place([...parts, name]);
    if (used.has(place)) return;
    const before = here.get(name);
    const kind = this.#random(10);
    if (kind < 2) {
      if (before === undefined) return;
      if (before instanceof Map && [...used].some((other) => other.startsWith(`${path}/`) || other.startsWith(`${place}/`))) return;
      entries.push({ path: [...parts, `.wh.${name}`].join("/") });
      here.delete(name);
      used.add(`-${path}`);
    } else if (
      kind < 3 &&
      before instanceof Map &&
      // What this layer has put there before, under another name too, would be hidden or not, by who unpacks it.
      ![...used].some((other) => other.startsWith(`${path}/`) || other.startsWith(`${place}/`))
    ) {
      this.#describe(entries, used, path);
      entries.push({ path: `${path}/.wh..wh..opq` });
      here.set(name, new Map());
      used.add(`-${path}`);
    } else if (before instanceof Map) {
      return;
    } else if (kind < 4 && parts.length === 0) {
      const target = `/${this.#name()}`;
      if (target === `/${name}`) return;
      entries.push({ path, type: "symlink", link: target, mode: 0o777 });
      here.set(name, target);
    } else if (kind < 5 && files.length > 0) {
      entries.push({ path, type: "link", link: files[this.#random(files.length)] ?? "" });
      here.set(name, true);
    } else {
      const data = `${path} ${this.#random(1000)}`;
      entries.push({
        path,
        data,
        uid: this.#random(70_000),
        mode: 0o600 + this.#random(0o200),
        mtime: BigInt(1e9 + this.#random(1e8)) * 10n ** 9n,
      });
      here.set(name, true);
      files.push(path);
    }
    used.add(path).add(place);
  }

  /** The place itself, whatever links lead there. */
  #place([top = "", ...rest]: readonly string[]): string {
    const link = rest.length === 0 ? undefined : this.#root.get(top);
    return `=${[typeof link === "string" ? link.slice(1) : top, ...rest].join("/")}`;
  }
}

/** What umoci unpacks the layers to; undefined for the rare stack that it refuses (a link whose target a member before it took away). */
async function umociTree(layers: readonly PackedLayer[], directory: string): Promise<string | undefined> {
  const blobs = join(directory, "oci/blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (data: string | Uint8Array, mediaType: string): Descriptor => {
    const digest = digestOf(data);
    writeFileSync(join(blobs, hexOf(digest)), data);
    return { mediaType, digest, size: Buffer.byteLength(data) };
  };
  const config = put(
    JSON.stringify({
      os: "linux",
      architecture: "amd64",
      config: {},
      rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    }),
    MEDIA.ociConfig,
  );
  const manifest = put(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.ociManifest,
      config,
      layers: layers.map((layer) => put(layer.packed, MEDIA.ociLayerGzip)),
    }),
    MEDIA.ociManifest,
  );
  const annotations = { "org.opencontainers.image.ref.name": "stack" };
  writeFileSync(join(directory, "oci/index.json"), JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
  writeFileSync(join(directory, "oci/oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const { exitCode } = await $`umoci unpack --image ${join(directory, "oci")}:stack ${join(directory, "bundle")}`.quiet().nothrow();
  return exitCode === 0 ? join(directory, "bundle/rootfs") : undefined;
}

const TAR = ["tar", "--sort=name", "--format=pax", "--numeric-owner", "--xattrs", "-cf", "-", "-C"];

async function treeOf(command: string[]): Promise<Map<string, string>> {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const bytes = await new Response(child.stdout).arrayBuffer();
  if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
  return describeTar(new Uint8Array(bytes));
}

test.if(able)(
  `random stacks look through overlayfs as umoci unpacks them (SEED=${seed})`,
  async () => {
    const rounds = Number(process.env["ROUNDS"] ?? 12);
    let compared = 0;
    for (let round = 0; round < rounds; round++) {
      const directory = join(work, String(round));
      const maker = new StackMaker(randomizer(seed * 1000 + round));
      const given = Array.from({ length: 4 }, () => maker.layer());
      const layers = given.map((entries) => packedLayer(tarOf(entries)));
      const rootfs = await umociTree(layers, directory);
      if (rootfs === undefined) continue;
      const state = new State(join(directory, "state.db"));
      const content = await openContent({ dataRoot: directory, state });
      const lease = content.lease("test");
      for (const layer of layers) await content.writeBlob(layer.packed, MEDIA.ociLayerGzip, lease);
      const chain = chainIds(layers.map((layer) => layer.diffId));
      const unpacked = await Promise.all(
        layers.map(({ diffId, digest }, index) =>
          content.unpack({
            chainId: chain[index] ?? diffId,
            parent: chain[index - 1],
            diffId,
            source: { blob: digest },
            mediaType: MEDIA.ociLayerGzip,
            lease,
          }),
        ),
      );
      state.close();
      mkdirSync(join(directory, "empty"));
      mkdirSync(join(directory, "merged"));
      const lower = [...unpacked.map((layer) => layer.directory).toReversed(), join(directory, "empty")].join(":");
      const script = `mount -t overlay overlay -o lowerdir=${lower} ${join(directory, "merged")} && exec "$@" ${join(directory, "merged")} .`;
      const ours = await treeOf(["unshare", "-m", "sh", "-c", script, "sh", ...TAR]);
      const theirs = await treeOf([...TAR, rootfs, "."]);
      const show = given.map((entries) => entries.map(({ path, type, link }) => [path, type, link].filter(Boolean).join(" ")));
      // The root itself is described by no layer: umoci makes it anew.
      ours.delete(".");
      theirs.delete(".");
      expect({ round, show, tree: [...ours] }).toEqual({ round, show, tree: [...theirs] });
      compared++;
    }
    expect(compared).toBeGreaterThan(rounds * 0.8);
  },
  60_000,
);
