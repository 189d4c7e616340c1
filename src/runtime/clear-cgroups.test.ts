import { expect, test } from "bun:test";
import { homesOf } from "./clear-cgroups.ts";

test("where the daemon was started, by hierarchy", () => {
  const mounts = new Map([
    ["systemd", "/sys/fs/cgroup/systemd"],
    ["cpu", "/sys/fs/cgroup/cpu,cpuacct"],
    ["cpuacct", "/sys/fs/cgroup/cpu,cpuacct"],
    ["memory", "/sys/fs/cgroup/memory"],
  ]);
  const text = "12:cpu,cpuacct:/\n4:memory:/service/a:b\n3:rdma:/\n1:name=systemd:/system.slice/x.service\n0::/\n";
  expect([...homesOf({ mounts }, text)]).toEqual([
    ["/sys/fs/cgroup/cpu,cpuacct", ""],
    ["/sys/fs/cgroup/memory", "/service/a:b"],
    ["/sys/fs/cgroup/systemd", "/system.slice/x.service"],
  ]);
});
