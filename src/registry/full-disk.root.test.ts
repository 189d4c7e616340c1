import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digestOf } from "../oci/digest.ts";
import { openTestRegistry } from "./spec-fixture.ts";

const MIB = 1 << 20;
/** What a second request at one upload is told. */
const TAKEN = 409;

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

test("an upload that breaks off while the disk is full can be gone on with once there is room", async () => {
  const disk = await mkdtemp(join(tmpdir(), "lighter-full-registry-"));
  expect(await run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk)).toBe(0);
  try {
    await using registry = await openTestRegistry({}, disk);
    const place = await registry.begin("team/app");
    const first = new Uint8Array(MIB - 100).fill(7);
    expect((await registry.call("PATCH", place, { body: first })).status).toBe(202);
    expect(await run("dd", "if=/dev/zero", `of=${disk}/fill`, "bs=4k")).not.toBe(0);
    // Its bytes have a place in a page that the file has; the note that the upload waits has none.
    const { hostname, port } = new URL(registry.address);
    const client = connect(Number(port), hostname);
    client.on("error", () => {});
    const head = `PATCH ${place} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: 100\r\n\r\n`;
    await new Promise((resolve) => void client.write(`${head}${"\x07".repeat(10)}`, resolve));
    while ((await registry.call("GET", place)).headers.get("range") !== `0-${MIB - 91}`) await Bun.sleep(20);
    client.destroy();
    // Until that is noticed, the upload is taken.
    const apart = { body: new Uint8Array(1), headers: { "content-range": "0-0" } };
    while ((await registry.call("PATCH", place, apart)).status === TAKEN) await Bun.sleep(20);
    await rm(join(disk, "fill"));
    const rest = await registry.call("PATCH", place, { body: new Uint8Array(90).fill(7) });
    expect([rest.status, rest.headers.get("range")]).toEqual([202, `0-${MIB - 1}`]);
    const whole = digestOf(new Uint8Array(MIB).fill(7));
    expect((await registry.call("PUT", `${place}?digest=${whole}`)).status).toBe(201);
  } finally {
    await run("umount", "--lazy", disk);
    await rm(disk, { recursive: true });
  }
}, 60_000);
