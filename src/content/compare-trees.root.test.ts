import { afterAll, expect, test } from "bun:test";
import { chmodSync, cpSync, linkSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compareTreesJob } from "./compare-trees.ts";
import type { JobContext } from "./job.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-compare-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const context = { signal: new AbortController().signal } as JobContext;

test("two trees: added, deleted, changed; times alone are nothing, unless bytes differ behind them", async () => {
  const [before, after] = [join(folder, "before"), join(folder, "after")];
  mkdirSync(join(before, "dir/deep"), { recursive: true });
  for (const name of ["same", "mode", "bytes", "touched", "hidden", "gone", "dir/deep/file", "kind"])
    writeFileSync(join(before, name), name);
  symlinkSync("same", join(before, "link"));
  linkSync(join(before, "same"), join(before, "hard"));
  const then = new Date("2026-01-01T00:00:00Z");
  for (const name of ["bytes", "touched", "hidden", "mode"]) utimesSync(join(before, name), then, then);
  cpSync(before, after, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  expect(await compareTreesJob({ before, after, contents: true }, context)).toEqual([]);

  chmodSync(join(after, "mode"), 0o4755);
  writeFileSync(join(after, "bytes"), "other");
  utimesSync(join(after, "touched"), new Date(), new Date());
  writeFileSync(join(after, "hidden"), "HIDDEN");
  utimesSync(join(after, "hidden"), then, then);
  rmSync(join(after, "gone"));
  rmSync(join(after, "link"));
  symlinkSync("elsewhere", join(after, "link"));
  rmSync(join(after, "kind"));
  mkdirSync(join(after, "kind"));
  mkdirSync(join(after, "new/below"), { recursive: true });
  renameSync(join(after, "dir/deep/file"), join(after, "dir/deep/mühle"));
  const expected = ["C /bytes", "D /dir/deep/file", "A /dir/deep/mühle", "D /gone", "C /kind", "C /link", "C /mode", "A /new"];
  const told = async (contents: boolean): Promise<string[]> =>
    (await compareTreesJob({ before, after, contents }, context)).map(({ kind, path }) => `${kind} ${path}`);
  expect(await told(false)).toEqual(expected);
  expect(await told(true)).toEqual([...expected, "C /hidden"].sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1)));
});

test("a missing side is an error", async () => {
  const missing = compareTreesJob({ before: join(folder, "none"), after: folder, contents: false }, context);
  expect(await missing.catch((error: Error) => error.message)).toContain("ENOENT");
});
