import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupHost } from "./cgroup-host.ts";
import type { Context } from "./context.ts";
import type { RuntimeRecord, TaskRecord } from "./runtime.ts";
import { updateLimits } from "./update.ts";

const folder = mkdtempSync("/tmp/lighter-update-");
afterAll(() => rmSync(folder, { recursive: true }));

/** A directory that stands in for a cgroup file system, with the files of one container's cgroup. */
function host(version: 1 | 2, ...files: string[]): { host: CgroupHost; read: (file: string) => string } {
  const mount = join(folder, String(version));
  mkdirSync(join(mount, "web"), { recursive: true });
  for (const file of files) writeFileSync(join(mount, "web", file), "");
  const mounts = new Map(version === 1 ? ["pids", "cpu", "blkio"].map((name) => [name, mount]) : []);
  return {
    host: { version, hybrid: false, mounts, unified: version === 2 ? mount : "", controllers: [] },
    read: (file) => readFileSync(join(mount, "web", file), "utf8"),
  };
}

const crun = { name: "crun", kind: "crun" } as RuntimeRecord;
const record = { id: "web", cgroup: "/web" } as TaskRecord;
const NONE = { pids: { limit: -1 }, cpu: { quota: -1 } };
const rate = (bytes: number) => ({ blockIO: { throttleWriteBpsDevice: [{ major: 8, minor: 16, rate: bytes }] } });

test("cgroup v1: what crun cannot lift, and rates of devices, go into the files", async () => {
  const { host: v1, read } = host(1, "pids.max", "cpu.cfs_quota_us", "blkio.throttle.write_bps_device");
  await updateLimits({ host: v1 } as Context, crun, record, { ...NONE, ...rate(1024) });
  expect([read("pids.max"), read("cpu.cfs_quota_us"), read("blkio.throttle.write_bps_device")]).toEqual(["max", "-1", "8:16 1024"]);
});

test("cgroup v2: the kernel's other words", async () => {
  const { host: v2, read } = host(2, "pids.max", "cpu.max", "io.max");
  await updateLimits({ host: v2 } as Context, crun, record, { ...NONE, ...rate(1024) });
  expect([read("pids.max"), read("cpu.max"), read("io.max")]).toEqual(["max", "max", "8:16 wbps=1024"]);
  writeFileSync(join(folder, "2/web/io.max"), "");
  await updateLimits({ host: v2 } as Context, crun, record, rate(0));
  expect(read("io.max")).toBe("8:16 wbps=max");
});

test("what the kernel refuses is the runtime's refusal", async () => {
  const { host: v1 } = host(1);
  const elsewhere = { ...record, cgroup: "/gone" };
  await expect(updateLimits({ host: v1 } as Context, crun, elsewhere, rate(1))).rejects.toMatchObject({ kind: "runtime" });
});
