import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { cgroupDirectories, cgroupOf, defaultDriver, readCgroupHost } from "./cgroup-host.ts";

const HYBRID = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 27 0:40 / /mnt/cgroup rw - cgroup cgroup rw,freezer
`;

test("a hybrid host: v1 controllers by mount, the unified tree beside them", () => {
  const host = readCgroupHost(HYBRID);
  expect(host.version).toBe(1);
  expect(host.hybrid).toBe(true);
  expect(host.controllers).toEqual(["cpu", "cpuacct", "memory"]);
  expect(host.mounts.get("cpuacct")).toBe("/sys/fs/cgroup/cpu,cpuacct");
  expect(cgroupDirectories(host, "/lighter/x")).toEqual([
    "/sys/fs/cgroup/cpu,cpuacct/lighter/x",
    "/sys/fs/cgroup/memory/lighter/x",
    "/sys/fs/cgroup/systemd/lighter/x",
    "/sys/fs/cgroup/unified/lighter/x",
  ]);
});

test("a v2 host has one directory", () => {
  const host = readCgroupHost("31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  expect(host.version).toBe(2);
  expect(host.hybrid).toBe(false);
  expect(cgroupDirectories(host, "/lighter/x")).toEqual(["/sys/fs/cgroup/lighter/x"]);
});

test("where a container's cgroup is", () => {
  expect(cgroupOf("cgroupfs", "/lighter", "ab")).toEqual({ runtimePath: "/lighter/ab", path: "/lighter/ab" });
  expect(cgroupOf("systemd", "/lighter", "ab")).toEqual({
    runtimePath: "lighter.slice:lighter:ab",
    path: "/lighter.slice/lighter-ab.scope",
  });
  expect(cgroupOf("systemd", "-", "ab")).toEqual({ runtimePath: "-.slice:lighter:ab", path: "/lighter-ab.scope" });
  expect(cgroupOf("systemd", "/lighter-12", "ab").path).toBe("/lighter.slice/lighter-12.slice/lighter-ab.scope");
});

test("systemd's driver needs systemd as the first process that we see", () => {
  const host = readCgroupHost("31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  expect(defaultDriver(host, "sh")).toBe("cgroupfs");
  expect(defaultDriver(host, "systemd")).toBe(existsSync("/run/systemd/system") ? "systemd" : "cgroupfs");
  expect(defaultDriver(readCgroupHost(HYBRID), "systemd")).toBe("cgroupfs");
});
