import { writeFileSync } from "node:fs";
import type { Desired } from "./desired.ts";
import type { ContainerPaths } from "./paths.ts";

/** Writes `hosts`, `hostname` and `resolv.conf` into the container's directory: a few bytes each. What is undefined is another container's. */
export function writeHostFiles(
  paths: ContainerPaths,
  content: { hostname: string; hosts: string | undefined; resolvConf: string | undefined },
): void {
  writeFileSync(paths.hostname, `${content.hostname}\n`, { mode: 0o644 });
  if (content.hosts !== undefined) writeFileSync(paths.hosts, content.hosts, { mode: 0o644 });
  if (content.resolvConf !== undefined) writeFileSync(paths.resolvConf, content.resolvConf, { mode: 0o644 });
}

/** The files to mount, by their place in the container; those of `shared` where the network is another container's. */
export function hostFileMounts(
  desired: Desired,
  own: ContainerPaths,
  shared: ContainerPaths | undefined,
): Map<string, { source: string; readOnly: boolean }> {
  const from = shared ?? own;
  const readOnly = desired.hostConfig.ReadonlyRootfs ?? false;
  return new Map([
    ["/etc/resolv.conf", { source: from.resolvConf, readOnly }],
    ["/etc/hostname", { source: from.hostname, readOnly }],
    ["/etc/hosts", { source: from.hosts, readOnly }],
  ]);
}
