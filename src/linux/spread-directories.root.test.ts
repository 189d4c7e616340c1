import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { spreadDirectories } from "./spread-directories.ts";

const folder = mkdtempSync("/tmp/lighter-spread-");
const mounted: string[] = [];
const PER_GROUP = 128;

/** A small ext4 of eight groups, and a directory in it; undefined where nothing can be mounted from a file. */
function ext4(name: string, feature: string): string | undefined {
  const image = `${folder}/${name}.img`;
  const place = `${folder}/${name}`;
  mkdirSync(place);
  const options = ["-q", "-b", "1024", "-g", "1024", "-N", String(8 * PER_GROUP), "-O", `${feature},^flex_bg`];
  if (!Bun.spawnSync(["mkfs.ext4", ...options, image, "8M"]).success) return undefined;
  if (!Bun.spawnSync(["mount", "-o", "loop", image, place]).success) return undefined;
  mounted.push(place);
  mkdirSync(`${place}/containers`);
  return `${place}/containers`;
}

const root = process.getuid?.() === 0;
const journaled = root ? ext4("journaled", "has_journal") : undefined;
const plain = root ? ext4("plain", "^has_journal") : undefined;

afterAll(() => {
  for (const place of mounted) Bun.spawnSync(["umount", place]);
  rmSync(folder, { recursive: true, force: true });
});

/** In how many groups of inodes six new directories lie. */
function groupsBelow(directory: string): number {
  const names = ["a", "b", "c", "d", "e", "f"].map((name) => `${directory}/${name}`);
  for (const name of names) mkdirSync(name);
  return new Set(names.map((name) => Math.floor((statSync(name).ino - 1) / PER_GROUP))).size;
}

describe.skipIf(plain === undefined || journaled === undefined)("spreadDirectories", () => {
  test("puts directories into different groups where ext4 has no journal", () => {
    expect(spreadDirectories(plain ?? "")).toBe(true);
    expect(groupsBelow(plain ?? "")).toBeGreaterThan(1);
  });

  test("leaves one with a journal as it is", () => {
    expect(spreadDirectories(journaled ?? "")).toBe(false);
    expect(groupsBelow(journaled ?? "")).toBe(1);
  });
});

test("what is no ext4 is left as it is", () => {
  expect(spreadDirectories("/dev/shm")).toBe(false);
});
