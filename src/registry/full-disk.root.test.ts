import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { openTestRegistry } from "./spec-fixture.ts";

const MIB = 1 << 20;

async function run(...command: string[]): Promise<number> {
  return await Bun.spawn(command, { stdout: "ignore", stderr: "ignore" }).exited;
}

test("an upload that the disk has no room for is told so, and gives back what it took: what is smaller still fits", async () => {
  const disk = await mkdtemp(join(tmpdir(), "lighter-full-registry-"));
  expect(await run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk)).toBe(0);
  try {
    await using registry = await openTestRegistry({}, disk);
    const place = await registry.begin("team/app");
    expect((await registry.call("PATCH", place, { body: new Uint8Array(16 * MIB).fill(7) })).status).toBe(202);
    // As far as it goes: dd ends with an error once the disk is full.
    expect(await run("dd", "if=/dev/zero", `of=${disk}/fill`, "bs=64k")).not.toBe(0);
    const chunk = await registry.call("PATCH", place, { body: new Uint8Array(MIB / 4).fill(8) });
    expect([chunk.status, await chunk.text()]).toEqual([507, expect.stringContaining("no space left on device")]);
    expect((await registry.call("GET", place)).status).toBe(404);
    const small = new Uint8Array(8 * MIB).fill(9);
    const fits = await registry.call("POST", `/v2/team/app/blobs/uploads/?digest=${digestOf(small)}`, { body: small });
    expect(fits.status).toBe(201);
    await rm(join(disk, "fill"));
  } finally {
    await run("umount", "--lazy", disk);
    await rm(disk, { recursive: true });
  }
});
