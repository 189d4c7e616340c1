import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkSubpaths, subpathOf } from "./subpath.ts";

let volume: string;

beforeAll(() => {
  volume = realpathSync(mkdtempSync(join(tmpdir(), "lighter-subpath-")));
  mkdirSync(join(volume, "etc"));
  writeFileSync(join(volume, "etc/own"), "");
  symlinkSync("/", join(volume, "top"));
  symlinkSync("../../../etc", join(volume, "out"));
});
afterAll(() => rmSync(volume, { recursive: true }));

test("links lead nowhere outside of the volume", () => {
  expect(subpathOf(volume, "etc/own")).toMatchObject({ path: join(volume, "etc/own"), directory: false });
  expect(subpathOf(volume, "top")).toMatchObject({ path: volume, directory: true });
  expect(subpathOf(volume, "out")).toMatchObject({ path: join(volume, "etc"), directory: true });
  expect(() => subpathOf(volume, "out/passwd")).toThrow(`cannot access path ${join(volume, "out/passwd")}: no such file or directory`);
});

test.skipIf(process.getuid?.() !== 0)("what was put in the place of a found directory is noticed", () => {
  const sources = new Map([[join(volume, "etc"), subpathOf(volume, "etc")]]);
  checkSubpaths(process.pid, sources);
  renameSync(join(volume, "etc"), join(volume, "old"));
  symlinkSync("/etc", join(volume, "etc"));
  expect(() => checkSubpaths(process.pid, sources)).toThrow("it was replaced while it was being mounted");
});
