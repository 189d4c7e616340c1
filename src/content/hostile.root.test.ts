import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { State } from "../state/state.ts";
import { addLayer, describeTree, type Given, packedLayer, tarOf } from "./layer-fixture.ts";
import { openContent } from "./open.ts";
import { packTree, unpackTree } from "./trees.ts";

const root = process.getuid?.() === 0;
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
const work = mkdtempSync(join(tmpdir(), "lighter-hostile-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

let state = seed >>> 0;
function random(below: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}
const pick = <T>(items: readonly T[]): T => items[random(items.length)] as T;

/** Members that try to get at `outside` by every way that archives know. */
function nasty(outside: string): Given[] {
  const dots = "../".repeat(12);
  const names = [
    "a",
    "b",
    "c",
    "a/b",
    "a/b/c",
    "b/a",
    "./a",
    "/a",
    "a/../b",
    "a//b",
    ".wh.a",
    "b/.wh.victim",
    "a/.wh..wh..opq",
    "a/victim",
    "b/victim",
    "c/victim",
  ];
  const far = [
    outside,
    `${outside}/victim`,
    `${dots}${outside.slice(1)}`,
    `${dots}${outside.slice(1)}/victim`,
    "..",
    "../..",
    "/",
    "/a",
    "b",
    "../b",
    `${dots}etc`,
  ];
  return Array.from({ length: 2 + random(8) }, () => {
    const path = random(12) === 0 ? pick(far) : pick(names);
    const kind = random(10);
    if (kind < 3) return { path, type: "symlink", link: pick(far) };
    if (kind < 4) return { path, type: "link", link: random(2) === 0 ? pick(far) : pick(names) };
    if (kind < 6) return { path: `${path}/`, mode: 0o700 };
    if (kind < 7) return { path, type: "fifo" };
    return { path, data: "evil" };
  });
}

test.if(root)(
  `no archive writes outside of its root (SEED=${seed})`,
  async () => {
    const outside = join(work, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "victim"), "unharmed");
    const before = [...(await describeTree(outside))];
    const store = new State(join(work, "data/state.db"));
    const content = await openContent({ dataRoot: join(work, "data"), state: store });
    const lease = content.lease("test");
    let unpacked = 0;
    for (let round = 0; round < 100; round++) {
      const attempts = [
        async (): Promise<unknown> => {
          const base = await addLayer(content, lease, undefined, nasty(outside));
          return await addLayer(content, lease, base, nasty(outside));
        },
        async (): Promise<unknown> => {
          const box = join(work, `box${round}`);
          mkdirSync(box);
          for (const _ of [1, 2, 3]) {
            const tar = packedLayer(tarOf(nasty(outside))).packed;
            await unpackTree({ root: box, path: "/", noOverwriteDirNonDir: random(2) === 0 }, new Blob([tar]).stream()).catch(
              expectRefusal,
            );
          }
          return box;
        },
      ];
      for (const attempt of attempts) {
        await attempt().then(() => unpacked++, expectRefusal);
      }
      expect([...(await describeTree(outside))]).toEqual(before);
    }
    // Of the boxes all come to be (a refused archive leaves one), of the layers about one in ten.
    expect(unpacked).toBeGreaterThan(100);
    store.close();
  },
  60_000,
);

/** A sentence, or the kernel's own word about a name (a directory in the way, a loop). */
function expectRefusal(error: unknown): void {
  expect(error).toBeInstanceOf(LighterError);
  expect((error as Error).message).toMatch(/^Cannot unpack|^cannot overwrite|^E(NOENT|NOTDIR|LOOP|EXIST|NOTEMPTY|ISDIR|INVAL): /);
}

test.if(root)("a process that swaps directories for links while files are copied in and out wins nothing", async () => {
  const outside = join(work, "race-outside");
  const box = join(work, "race-box");
  for (const directory of [outside, join(box, "d")]) mkdirSync(directory, { recursive: true });
  writeFileSync(join(outside, "secret"), "SECRET");
  writeFileSync(join(box, "d/secret"), "harmless");
  const script = `import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
    process.chdir(${JSON.stringify(box)});
    const steps = [
      () => rmSync("d", { recursive: true, force: true }),
      () => symlinkSync(${JSON.stringify(outside)}, "d"),
      () => rmSync("d", { recursive: true, force: true }),
      () => mkdirSync("d"),
      () => writeFileSync("d/secret", "harmless", { flag: "wx" }),
    ];
    for (const end = Date.now() + 1500; Date.now() < end; ) for (const step of steps) try { step(); } catch {}`;
  await Bun.write(join(work, "racer.ts"), script);
  const before = [...(await describeTree(outside))];
  const racer = Bun.spawn([process.execPath, join(work, "racer.ts")]);
  const tar = tarOf([
    { path: "d/evil", data: "x" },
    { path: "d/secret", data: "harmless", mode: 0o777 },
  ]);
  let [inside, out] = [0, 0];
  while (racer.exitCode === null) {
    await unpackTree({ root: box, path: "/" }, new Blob([tar]).stream()).then(
      () => inside++,
      () => {},
    );
    const copy = await new Response(packTree({ root: box, path: "/d/secret", name: "secret" })).bytes().catch(() => undefined);
    if (copy === undefined) continue;
    out++;
    expect(Buffer.from(copy).includes("SECRET")).toBe(false);
    const all = await new Response(packTree({ root: box, path: "/", name: "" })).bytes().catch(() => new Uint8Array());
    expect(Buffer.from(all).includes("SECRET")).toBe(false);
  }
  expect([...(await describeTree(outside))]).toEqual(before);
  expect(Math.min(inside, out)).toBeGreaterThan(0);
});
