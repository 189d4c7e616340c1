import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../tools/shell.ts";
import type { Daemon } from "./daemon.ts";

/** So many networks wait when none ran dry. */
const POOL = 8;

/** Everything on the machine that a container may leave behind, as sorted names. */
export interface Leftovers {
  containers: string[];
  mounts: string[];
  cgroups: string[];
  links: string[];
  tables: string[];
  processes: string[];
  files: string[];
  descriptors: number;
}

/** What of a daemon is there now. Two looks are compared: before a test and after it. */
export async function leftovers(daemon: Daemon): Promise<Leftovers> {
  const listed = await daemon.json<{ Id: string }[]>("GET", "/containers/json?all=1");
  const mounts = (await Bun.file("/proc/self/mounts").text()).split("\n").filter((line) => line.includes(daemon.folder));
  const tables = await run(["nft", "list", "ruleset"]);
  const links = await run(["ip", "-o", "link"]);
  return {
    containers: listed.map(({ Id }) => Id).sort(),
    mounts: mounts.sort(),
    cgroups: (await cgroupsOf(daemon.names.scope)).sort(),
    links: [...links.stdout.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name = ""]) => kindOfLink(name)).sort(),
    tables: tables.stdout
      .split("\n")
      .map((line) => line.trim())
      .sort(),
    processes: await processesOf(daemon),
    files: await filesOf(daemon),
    descriptors: (await readdir(`/proc/${daemon.pid}/fd`)).length,
  };
}

/** What must be the same when all is gone again: the pool of networks grows and narrows by itself, and with it the daemon's descriptors. */
export function withoutPool(seen: Leftovers): Leftovers {
  return { ...seen, links: seen.links.filter((link) => link !== "lv*"), descriptors: 0 };
}

/** How many devices wait in the pool of networks, or belong to containers: their names do not tell. */
export function pooled({ links }: Leftovers): number {
  return links.filter((link) => link === "lv*").length;
}

/** How many there may be once all is gone and the pool is narrow again, 30 s after it last ran dry. */
export function mayPool(before: Leftovers): number {
  return Math.max(pooled(before), POOL);
}

/** What of a daemon is on the host, whether it runs or not: its cgroups, its bridge and links, mounts below its folder, its nftables tables. */
export async function onHost(daemon: Daemon): Promise<Pick<Leftovers, "cgroups" | "links" | "mounts" | "tables">> {
  const { bridge, scope } = daemon.names;
  const roots = ["/sys/fs/cgroup", ...(await readdir("/sys/fs/cgroup")).map((name) => join("/sys/fs/cgroup", name))];
  const cgroups = await Promise.all(
    roots.map(async (root) => ((await readdir(root).catch((): string[] => [])).includes(scope) ? [join(root, scope)] : [])),
  );
  const lines = (text: string): string[] => text.split("\n");
  return {
    cgroups: cgroups.flat().sort(),
    links: lines((await run(["ip", "-o", "link"])).stdout).filter((line) => line.includes(bridge)),
    mounts: lines(await Bun.file("/proc/self/mounts").text()).filter((line) => line.includes(daemon.folder)),
    tables: lines((await run(["nft", "list", "tables"])).stdout).filter((line) => line.includes(scope)),
  };
}

/** Names of veth devices are random, their number is what counts. */
function kindOfLink(name: string): string {
  return name.replace(/^(veth|lv|lgt?v|[a-z]+)[0-9a-f]{4,}$/, "$1*");
}

async function cgroupsOf(scope: string): Promise<string[]> {
  const found: string[] = [];
  const roots = ["/sys/fs/cgroup", ...(await readdir("/sys/fs/cgroup").catch(() => [])).map((name) => join("/sys/fs/cgroup", name))];
  for (const root of roots) {
    for (const name of await readdir(join(root, scope)).catch(() => [])) {
      if (/^[0-9a-f]{64}/.test(name)) found.push(join(root, scope, name));
    }
  }
  return found;
}

/** Commands of the processes whose command line names the daemon's folder: monitors, helpers, the daemon itself. */
async function processesOf(daemon: Daemon): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const line = await Bun.file(`/proc/${pid}/cmdline`)
      .text()
      .catch(() => "");
    const name = await Bun.file(`/proc/${pid}/comm`)
      .text()
      .catch(() => "");
    if (line.includes(daemon.folder)) found.push(name.trim());
  }
  return found.sort();
}

/** Folders of containers, of namespaces and of unfinished downloads, below both roots. */
async function filesOf(daemon: Daemon): Promise<string[]> {
  const places = [join(daemon.dataRoot, "containers"), join(daemon.dataRoot, "content/ingest"), join(daemon.execRoot, "containers")];
  const lists = await Promise.all(places.map(async (place) => (await readdir(place).catch(() => [])).map((name) => join(place, name))));
  return lists.flat().sort();
}
