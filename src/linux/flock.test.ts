import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockFile } from "./flock.ts";

test("a lock is held once, and free again after it was given back", () => {
  const directory = mkdtempSync(join(tmpdir(), "lighter-flock-"));
  const path = join(directory, "lock");
  const first = lockFile(path);
  expect(first).toBeDefined();
  expect(lockFile(path)).toBeUndefined();
  first?.[Symbol.dispose]();
  const second = lockFile(path);
  expect(second).toBeDefined();
  second?.[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});
