import { expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskSync } from "./disk-sync.ts";

test("who asks while a flush runs shares the next one; a flush that fails is told to those who waited for it alone", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-sync-"));
  const path = join(folder, "data");
  const disk = new DiskSync(path);
  try {
    const [first, second, third] = [disk.flush(), disk.flush(), disk.flush()];
    expect(second).toBe(third);
    expect(first).not.toBe(second);
    for (const flush of [first, second]) {
      const error: unknown = await flush.catch((reason: unknown) => reason);
      expect((error as Error).message).toContain(path);
    }
    await mkdir(path);
    await Promise.all([disk.flush(), disk.flush(), disk.flush()]);
    await disk.flush();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
