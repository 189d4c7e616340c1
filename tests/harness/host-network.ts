import { readdir, readlink } from "node:fs/promises";
import { must, run } from "../../tools/shell.ts";

/** Everything of the network that a daemon may change on its host, as sorted lines. */
export interface HostNetwork {
  links: string[];
  addresses: string[];
  routes: string[];
  rules: string[];
  neighbours: string[];
  settings: string[];
  namespaces: number;
}

/** Files below /proc/sys/net that networks have to do with, those of single links not among them: these go with their links. */
const SETTINGS = [
  "net/ipv4/ip_forward",
  "net/ipv6/conf/all/forwarding",
  "net/ipv6/conf/default/forwarding",
  "net/ipv6/conf/default/disable_ipv6",
  "net/ipv4/conf/all/route_localnet",
  "net/ipv4/conf/default/route_localnet",
  "net/ipv4/conf/lo/route_localnet",
  "net/ipv4/conf/all/rp_filter",
  "net/ipv4/ip_local_reserved_ports",
  "net/ipv4/ip_unprivileged_port_start",
];

/** The host's network as it is now. */
export async function hostNetwork(): Promise<HostNetwork> {
  const lines = async (...command: string[]): Promise<string[]> =>
    (await must(command))
      .split("\n")
      .map((line) =>
        line
          .trim()
          .replace(/^\d+: /, "")
          .replace(/ (expires|valid_lft|preferred_lft|used|qlen) \S+/g, ""),
      )
      .filter((line) => line !== "")
      .sort();
  return {
    links: (await lines("ip", "-o", "link")).map((line) => line.split(/[:@]/)[0] ?? ""),
    addresses: await lines("ip", "-o", "addr"),
    routes: [...(await lines("ip", "route", "show", "table", "all")), ...(await lines("ip", "-6", "route", "show", "table", "all"))],
    rules: await lines("nft", "list", "ruleset"),
    neighbours: await lines("ip", "neigh"),
    settings: await Promise.all(SETTINGS.map(async (file) => `${file}=${await setting(file)}`)),
    namespaces: await namespaces(),
  };
}

async function setting(file: string): Promise<string> {
  return (await run(["cat", `/proc/sys/${file}`])).stdout.trim();
}

/** How many network namespaces processes stand in or hold open. */
async function namespaces(): Promise<number> {
  const found = new Set<string>();
  const add = async (path: string): Promise<void> => {
    const target = await readlink(path).catch(() => "");
    if (target.startsWith("net:")) found.add(target);
  };
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    await add(`/proc/${pid}/ns/net`);
    for (const fd of await readdir(`/proc/${pid}/fd`).catch((): string[] => [])) await add(`/proc/${pid}/fd/${fd}`);
  }
  return found.size;
}
