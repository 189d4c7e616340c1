import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { State } from "../state/state.ts";
import { openContent } from "./open.ts";

async function run(...command: string[]): Promise<number> {
  return await Bun.spawn(command, { stdout: "ignore", stderr: "ignore" }).exited;
}

test("what comes in pieces and stops on a full disk is gone on with once there is room", async () => {
  const disk = await mkdtemp(join(tmpdir(), "lighter-full-content-"));
  expect(await run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk)).toBe(0);
  const state = new State(join(disk, "state.db"));
  try {
    const content = await openContent({ dataRoot: disk, state });
    const data = new Uint8Array(30_000).fill(7);
    const first = await content.ingest("ref");
    await first.write(data.subarray(0, 10_000));
    await first.place(20_000, data.subarray(20_000));
    // As far as it goes: dd ends with an error once the disk is full.
    expect(await run("dd", "if=/dev/zero", `of=${disk}/fill`, "bs=4k")).not.toBe(0);
    await first.suspend().catch(() => {});
    await rm(join(disk, "fill"));
    const second = await content.ingest("ref");
    expect(second.offset).toBe(10_000);
    // What was placed last may not have been noted.
    for (const { start, end } of second.holes(data.length)) await second.place(start, data.subarray(start, end));
    using lease = content.lease("test");
    const digest = digestOf(data);
    await second.commit({ digest, size: data.length, mediaType: "application/octet-stream" }, lease);
    expect(await content.readBlob(digest)).toEqual(data);
  } finally {
    state.close();
    await run("umount", "--lazy", disk);
    await rm(disk, { recursive: true });
  }
}, 60_000);
