import { LighterError } from "../base/errors.ts";
import type { HostConfig } from "../wire/engine-api.ts";

/** systemd puts containers below slices alone. Throws `invalid` with Docker's text. https://www.freedesktop.org/software/systemd/man/systemd.slice.html */
export function checkCgroupParent(host: HostConfig, driver: "cgroupfs" | "systemd"): void {
  const parent = host.CgroupParent ?? "";
  if (driver !== "systemd" || parent === "") return;
  if (parent.includes("/") || !parent.endsWith(".slice") || parent === ".slice")
    throw new LighterError("invalid", 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
}
