/** The same images pulled by Debian's dockerd and by us: the same trees, entry by entry. Deadline: 60 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startDockerd, type Engine } from "../bench/peer.ts";
import { describeTar, packedLayer, tarOf } from "../src/content/layer-fixture.ts";
import { randomizer, StackMaker } from "../src/content/stack-fixture.ts";
import { MEDIA } from "../src/oci/image.ts";
import { testImage } from "../tools/test-images.ts";
import { Client } from "./harness/client.ts";
import { count, FULL, SEED } from "./harness/counts.ts";
import { figure } from "./harness/figures.ts";
import { Ground } from "./harness/ground.ts";
import { pushMade } from "./harness/made-image.ts";

/** dockerd takes seconds to come up and to pull: it is asked in `./test --full` alone. */
const peered = test.skipIf(!FULL);

let ground: Ground;
let peer: Engine;
let dockerd: Client;
beforeAll(async () => {
  if (!FULL) return;
  ground = await Ground.lay([]);
  peer = await startDockerd(ground.path("dockerd"), { sharesNetwork: true });
  dockerd = new Client("dockerd", ground.client("docker 20.10").program, { DOCKER_HOST: peer.host });
}, 60_000);
afterAll(async () => {
  await peer?.[Symbol.asyncDispose]();
  await ground?.[Symbol.asyncDispose]();
});

/** What stands in the mount points of a container, which every engine makes as it likes. */
const MADE = /^(\.\/?|\.dockerenv|dev\/?.*|proc\/?|sys\/?|etc\/(hosts|hostname|resolv\.conf|mtab)|etc\/?)$/;

/** The root of a container that never ran, by path. */
async function rootOf(client: Client, reference: string): Promise<Map<string, string>> {
  await client.must("pull", "-q", reference);
  const container = (await client.must("create", reference, "/none")).trim();
  const child = client.spawn(["export", container]);
  const tree = await describeTar(new Uint8Array(await new Response(child.stdout).arrayBuffer()));
  expect(await child.exited).toBe(0);
  await client.must("rm", container);
  await client.must("rmi", reference);
  return new Map([...tree].filter(([path]) => !MADE.test(path)).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

async function compare(reference: string, about: unknown): Promise<number> {
  const theirs = await rootOf(dockerd, reference);
  const ours = await rootOf(ground.lighter, reference);
  expect({ about, tree: [...ours] }).toEqual({ about, tree: [...theirs] });
  return ours.size;
}

peered(
  "images made of Debian's packages",
  async () => {
    let entries = 0;
    for (const name of ["layered", "debian", "postgres"] as const) {
      await ground.registry.push((await testImage(name)).layout, name);
      entries += await compare(`${ground.registry.host}/${name}:latest`, name);
    }
    await figure("pull", "entries of Debian's images compared with dockerd's pull", entries);
  },
  300_000,
);

peered(
  "random stacks of layers that describe their directories",
  async () => {
    const rounds = count(5, 25);
    for (let round = 0; round < rounds; round++) {
      const maker = new StackMaker(randomizer(SEED * 1000 + round), { complete: true });
      const given = Array.from({ length: 5 }, () => maker.layer());
      const layers = given.map((entries) => packedLayer(tarOf(entries)));
      const made = layers.map(({ packed, diffId }) => ({ packed: new Uint8Array(packed), diffId, mediaType: MEDIA.ociLayerGzip }));
      await pushMade(ground.registry, `stack-${round}`, made);
      const show = given.map((entries) => entries.map(({ path, type, link }) => [path, type, link].filter(Boolean).join(" ")));
      await compare(`${ground.registry.host}/stack-${round}:latest`, { seed: SEED, round, show });
    }
    await figure("pull", "random stacks compared with dockerd's pull", rounds);
  },
  600_000,
);
