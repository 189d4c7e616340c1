/** Pulls that are interrupted, shared, killed, and of odd images: every byte that travels is counted. Deadline: 180 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { count, FULL, randomOf, SEED } from "./harness/counts.ts";
import { figure } from "./harness/figures.ts";
import { Ground } from "./harness/ground.ts";
import { noiseLayer, pushMade, type MadeLayer } from "./harness/made-image.ts";
import { SlowLine } from "./harness/slow-line.ts";
import { until } from "./harness/until.ts";

/** Bytes a second of one connection: slow enough that several ranges are worth it. */
const RATE = 6 << 20;

let ground: Ground;
beforeAll(async () => {
  // What a connection holds when the daemon is killed has travelled in vain, and a daemon that stands still for a moment lets it fill: it holds little here.
  if (process.env["LIGHTER_TEST_ISOLATED"] === "1")
    for (const name of ["tcp_rmem", "tcp_wmem"]) await Bun.write(`/proc/sys/net/ipv4/${name}`, "4096 32768 32768");
  ground = await Ground.lay([]);
  shipped = await stored();
});
afterAll(async () => await ground?.[Symbol.asyncDispose]());

/** The file of a layer that {@link noiseLayer} made, read out of the image by way of a container. */
async function expectFile(reference: string, name: string, layer: MadeLayer): Promise<void> {
  const container = ground.name();
  await ground.lighter.must("create", "--name", container, reference);
  const response = await ground.daemon.api("GET", `/containers/${container}/archive?path=${encodeURIComponent(`/${name}`)}`);
  const got = Buffer.from(await response.arrayBuffer());
  const wanted = gunzipSync(layer.packed);
  // One header, the bytes, and what fills up the archive.
  const size = Number.parseInt(wanted.toString("latin1", 124, 135), 8);
  expect(Number.parseInt(got.toString("latin1", 124, 135), 8)).toBe(size);
  expect(got.subarray(512, 512 + size).equals(wanted.subarray(512, 512 + size))).toBe(true);
  await ground.lighter.must("rm", container);
}

/** Everything that the store holds, and what it held before any pull (the images that the built-in registry hands out). */
async function stored(): Promise<string[]> {
  const places = ["content/blobs/sha256", "content/ingest", "content/unpack", "content/trash", "layers"];
  const names = places.map(async (place) => (await readdir(`${ground.daemon.dataRoot}/${place}`)).map((name) => `${place}/${name}`));
  return (await Promise.all(names)).flat().toSorted();
}
let shipped: string[];

async function removeAll(): Promise<void> {
  await ground.lighter.must("image", "prune", "-a", "-f");
  await until("deleted files are gone", async () => (await stored()).every((name) => !name.startsWith("content/trash")));
  expect(await stored()).toEqual(shipped);
}

for (const rate of FULL ? [RATE, 16 << 20] : [RATE])
  test(`interrupted at random points, by Ctrl-C and by kill -9 of the daemon, at ${rate >> 20} MB/s: no more than 1.05 times the image travels`, async () => {
    const random = randomOf();
    await using line = await SlowLine.to(ground.registry.host, rate);
    const large = noiseLayer("large", count(40, 320) << 20);
    const small = noiseLayer("small", 4 << 20);
    const image = await pushMade(ground.registry, "resumed", [large, small, noiseLayer("third", 4 << 20)]);
    const reference = `${line.host}/resumed`;
    const points = Array.from({ length: count(4, 20) }, () => 0.02 + 0.95 * random()).toSorted((a, b) => a - b);
    for (const [index, point] of points.entries()) {
      const pull = ground.lighter.spawn(["pull", reference]);
      await until("so much has come", () => line.received >= point * image.bytes || pull.exitCode !== null, { timeout: 60_000, every: 2 });
      expect(pull.exitCode, `seed ${SEED}: ${await ended(pull)}`).toBeNull();
      if (index % 2 === 0) pull.kill("SIGINT");
      else await ground.daemon.end("SIGKILL");
      expect(await pull.exited).not.toBe(0);
      if (index % 2 === 1) await ground.daemon.start();
    }
    await ground.lighter.must("pull", "-q", reference);
    const share = line.received / image.bytes;
    await figure(
      "pull",
      `bytes that travelled for an image of ${(image.bytes / 1e6).toFixed(0)} MB over ${points.length} interruptions, ${rate >> 20} MB a second a connection`,
      share.toFixed(4),
    );
    expect(share, `seed ${SEED}`).toBeLessThanOrEqual(1.05);
    await expectFile(reference, "large", large);
    await expectFile(reference, "small", small);
    await removeAll();
  }, 600_000);

async function ended(child: Bun.Subprocess<"pipe", "pipe", "pipe">): Promise<string> {
  return child.exitCode === null ? "" : `${await child.stdout.text()}${await child.stderr.text()}`;
}

test("pulls of the same layer share one download, also for different images; one that is stopped does not hurt the others", async () => {
  await using line = await SlowLine.to(ground.registry.host, RATE);
  const shared = noiseLayer("shared", 12 << 20);
  const first = await pushMade(ground.registry, "first", [shared, noiseLayer("own", 1 << 20)]);
  await pushMade(ground.registry, "second", [shared]);
  const pulls = ["first", "first", "second"].map((name) => ground.lighter.spawn(["pull", `${line.host}/${name}`]));
  await until("a part has come", () => line.received > first.bytes / 3, { timeout: 60_000, every: 2 });
  pulls[0]?.kill("SIGINT");
  expect(await Promise.all(pulls.map((pull) => pull.exited))).toEqual([expect.any(Number), 0, 0]);
  expect(pulls[0]?.exitCode).not.toBe(0);
  expect(line.received).toBeLessThan(first.bytes * 1.05);
  await expectFile(`${line.host}/second`, "shared", shared);
  await removeAll();
}, 120_000);

test("kill -9 of the daemon at random points of pulls: an image is whole or not there, and nothing is left behind", async () => {
  const random = randomOf(SEED + 1);
  await using line = await SlowLine.to(ground.registry.host, 4 << 20);
  const layers = Array.from({ length: 5 }, (_, index) => noiseLayer(`file-${index}`, 300_000));
  await pushMade(ground.registry, "killed", layers);
  const reference = `${line.host}/killed`;
  const kills = count(6, 200);
  let whole = 0;
  for (let kill = 0; kill < kills; kill++) {
    const pull = ground.lighter.spawn(["pull", reference]);
    await Bun.sleep(random() * 600);
    await ground.daemon.end("SIGKILL");
    await pull.exited;
    await ground.daemon.start();
    const found = await ground.daemon.api("GET", `/images/${reference}/json`);
    const text = await found.text();
    if (pull.exitCode === 0) expect(found.status, `seed ${SEED}, kill ${kill}: ${text}`).toBe(200);
    if (found.status !== 200) {
      expect(found.status).toBe(404);
      continue;
    }
    whole++;
    for (const [index, layer] of layers.entries()) await expectFile(reference, `file-${index}`, layer);
    await removeAll();
  }
  await ground.lighter.must("pull", "-q", reference);
  for (const [index, layer] of layers.entries()) await expectFile(reference, `file-${index}`, layer);
  await removeAll();
  await figure("pull", `kill -9 of the daemon during ${kills} pulls: images that were whole afterwards, wrong ones`, `${whole}, 0`);
}, 600_000);
