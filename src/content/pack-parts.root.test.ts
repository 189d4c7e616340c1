import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packParts, unpackTree } from "./trees.ts";

let room: string;
beforeAll(async () => void (room = await mkdtemp(join(tmpdir(), "parts-"))));
afterAll(async () => await rm(room, { recursive: true, force: true }));

const LEAST = 64 << 10;
let rounds = 0;

/** Digests of the parts, and where they are unpacked, one after the other. */
async function roundTrip(root: string): Promise<{ digests: string[]; tree: string }> {
  const [into, tree] = [join(room, `parts-${++rounds}`), join(room, `tree-${rounds}`)];
  await mkdir(into);
  await mkdir(tree);
  const digests: string[] = [];
  for await (const { path, digest, size } of packParts({ root, path: "/", name: "top", holes: true, into, least: LEAST })) {
    const bytes = await readFile(path);
    expect([bytes.length, `sha256:${createHash("sha256").update(bytes).digest("hex")}`]).toEqual([size, digest]);
    await unpackTree({ root: tree, path: "/" }, new Blob([bytes]).stream());
    digests.push(digest);
  }
  return { digests, tree: join(tree, "top") };
}

function shown(tree: string): string {
  const list = ["find", ".", "-printf", "%P %y %m %U:%G %n %T@ %s %l\n"];
  const found = Bun.spawnSync(list, { cwd: tree });
  expect(found.exitCode).toBe(0);
  return found.stdout.toString().split("\n").sort().join("\n");
}

describe.skipIf(process.getuid?.() !== 0)("parts of a tree", () => {
  test("give the same tree, links between them and times of directories included; a change stays where it is", async () => {
    const root = join(room, "origin");
    const noise = (seed: number, size: number): Uint8Array => {
      const bytes = new Uint8Array(size);
      for (let at = 0, value = seed; at < size; at++) bytes[at] = (value = (value * 1103515245 + 12345) & 0x7fffffff) >> 16;
      return bytes;
    };
    for (let dir = 0; dir < 6; dir++) {
      await mkdir(join(root, `d${dir}/deep`), { recursive: true });
      for (let file = 0; file < 40; file++) await writeFile(join(root, `d${dir}/deep/f${file}`), noise(dir * 100 + file, 4000));
    }
    await writeFile(join(root, "d3/large"), noise(7, 600_000));
    const odd = `ln d0/deep/f0 z-link; mkfifo z-pipe; mknod z-null c 1 3; chown 7:70000 d1; chmod 2751 d1/deep; ln -s /nowhere d2/l
      truncate -s 40M z-hole; setfattr -n user.x -v y d5/deep 2>/dev/null; find . -type d -exec touch -hd @1000000000.123456789 {} +; touch -d @5 .`;
    expect(Bun.spawnSync(["sh", "-c", odd], { cwd: root }).exitCode).toBe(0);
    const first = await roundTrip(root);
    expect(first.digests.length).toBeGreaterThan(6);
    expect(shown(first.tree)).toBe(shown(root));
    expect(Bun.spawnSync(["diff", "-r", "--no-dereference", join(root, "d3"), join(first.tree, "d3")]).exitCode).toBe(0);
    expect(Bun.spawnSync(["du", "-s", "z-hole"], { cwd: first.tree }).stdout.toString()).toBe("0\tz-hole\n");
    expect((await roundTrip(root)).digests).toEqual(first.digests);
    await writeFile(join(root, "d4/deep/f7"), noise(99_999, 4000));
    const { digests } = await roundTrip(root);
    expect(first.digests.filter((each) => !digests.includes(each)).length).toBe(1);
    // What the top is like is told in the last part, beside the one that has the new file.
    await writeFile(join(root, "z-new"), "new");
    const { digests: grown } = await roundTrip(root);
    expect(digests.filter((each) => !grown.includes(each)).length).toBe(2);
  });

  test("a reader that stops leaves nothing running; an empty tree is one part", async () => {
    const root = join(room, "small");
    await mkdir(root);
    expect((await roundTrip(root)).digests.length).toBe(1);
    const into = join(room, "stopped");
    await mkdir(into);
    for await (const _ of packParts({ root: join(room, "origin"), path: "/", name: "top", into, least: LEAST })) break;
  });
});
