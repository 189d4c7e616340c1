import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyTree } from "./trees.ts";

/** Milliseconds: the machine may be busy. */
const LONG = 120_000;
const folder = mkdtempSync(join(tmpdir(), "lighter-race-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Whoever has a volume, swapping what is copied or written for links, fifos and directories, as fast as a shell can. */
function swapper(directory: string, outside: string): { stop(): Promise<void> } {
  const script = `cd "$1"; while :; do
    rm -rf d; ln -s "$2" d; rm -rf d; mkdir d; echo in > d/one; ln d/one d/two
    rm -rf f; mkfifo f; rm -rf f; echo in > f; rm -rf f; ln -s "$2/secret" f; rm -rf f; mkdir f
  done 2> /dev/null`;
  const child = Bun.spawn(["sh", "-c", script, "sh", directory, outside], { stdout: "ignore", stderr: "ignore", detached: true });
  return {
    async stop() {
      // With what it has started: nothing may write any more when the folder goes.
      process.kill(-child.pid, "SIGKILL");
      await child.exited;
    },
  };
}

/** The files that a tree holds itself, by their text; links are not followed. */
function textsIn(directory: string): string[] {
  const { stdout } = Bun.spawnSync(["find", directory, "-type", "f", "-exec", "cat", "{}", "+"]);
  return stdout.toString().match(/secret|image|in/g) ?? [];
}

test(
  "a source that is swapped for links and fifos while it is copied gives nothing of elsewhere away, and keeps nobody",
  async () => {
    const [source, outside] = [join(folder, "source"), join(folder, "outside")];
    for (const path of [source, outside]) mkdirSync(path);
    writeFileSync(join(outside, "secret"), "secret");
    writeFileSync(join(outside, "one"), "secret");
    const swapping = swapper(source, outside);
    try {
      for (let turn = 0; turn < 8; turn++) {
        const target = join(folder, `copy-${turn}`);
        mkdirSync(target);
        await copyTree({ root: source, path: "/", target });
        expect(textsIn(target)).not.toContain("secret");
      }
    } finally {
      await swapping.stop();
    }
  },
  LONG,
);

test(
  "a target in which links are swapped while it is written to is not left",
  async () => {
    const [image, target, outside] = [join(folder, "image"), join(folder, "volume"), join(folder, "host")];
    for (const path of [image, target, outside, join(image, "d")]) mkdirSync(path);
    for (let n = 0; n < 50; n++) writeFileSync(join(image, "d", `file-${n}`), "image");
    const link = Bun.spawnSync(["sh", "-c", "cd d; for n in $(seq 0 49); do ln file-$n again-$n; ln file-$n ../top-$n; done"], {
      cwd: image,
    });
    expect(link.exitCode).toBe(0);
    for (let n = 0; n < 50; n++) writeFileSync(join(outside, `file-${n}`), "secret");
    const swapping = swapper(target, outside);
    try {
      for (let turn = 0; turn < 8; turn++) {
        // What stands in the way is an error; what must not be is that anything gets out, or in.
        await copyTree({ root: image, path: "/", target }).catch(() => undefined);
        for (const name of readdirSync(target)) if (name.startsWith("top-")) rmSync(join(target, name), { force: true });
      }
    } finally {
      await swapping.stop();
    }
    expect(readdirSync(outside).filter((name) => !name.startsWith("file-"))).toEqual([]);
    expect(textsIn(outside)).toEqual(Array(50).fill("secret"));
    expect(existsSync(join(outside, "d"))).toBe(false);
    expect(textsIn(target)).not.toContain("secret");
  },
  LONG,
);
