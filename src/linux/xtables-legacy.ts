import { readFileSync } from "node:fs";
import { libc } from "./libc.ts";

/** Rules of the kernel's old packet filter (x_tables), which nf_tables does not show. Layouts: linux/netfilter_ipv4/ip_tables.h, ip6_tables.h. */
const FAMILIES = {
  4: { domain: 2, level: 0, names: "/proc/net/ip_tables_names", entry: 112 },
  6: { domain: 10, level: 41, names: "/proc/net/ip6_tables_names", entry: 168 },
} as const;
const SOCK_RAW = 3;
const IPPROTO_RAW = 255;
const GET_INFO = 64;
const GET_ENTRIES = 65;
const LOCAL_IN = 1;
const VERDICT_ACCEPT = -2;

/** The old tables (`filter`, `mangle` ...) in this network namespace that do more with packets to this host than let them in. */
export function legacyInputTables(family: 4 | 6): string[] {
  return legacyTables(family)
    .filter((table) => table !== "nat" && table !== "raw")
    .filter((table) => !letsAllIn(family, table));
}

/** The old tables that are there at all. */
export function legacyTables(family: 4 | 6): string[] {
  try {
    return readFileSync(FAMILIES[family].names, "utf8").split("\n").filter(Boolean);
  } catch {
    return [];
  }
}

function letsAllIn(family: 4 | 6, table: string): boolean {
  const { domain, level, entry } = FAMILIES[family];
  const fd = libc().socket(domain, SOCK_RAW, IPPROTO_RAW);
  if (fd < 0) return false;
  try {
    const info = new Uint8Array(84);
    info.set(Buffer.from(table));
    if (libc().getsockopt(fd, level, GET_INFO, info, Uint32Array.of(info.length)) < 0) return false;
    const view = new DataView(info.buffer);
    const hooked = (view.getUint32(32, true) & (1 << LOCAL_IN)) !== 0;
    if (!hooked) return true;
    const first = view.getUint32(36 + 4 * LOCAL_IN, true);
    const policy = view.getUint32(56 + 4 * LOCAL_IN, true);
    if (first !== policy) return false;
    const size = view.getUint32(80, true);
    const entries = new Uint8Array(40 + size);
    entries.set(info.subarray(0, 32));
    new DataView(entries.buffer).setUint32(32, size, true);
    if (libc().getsockopt(fd, level, GET_ENTRIES, entries, Uint32Array.of(entries.length)) < 0) return false;
    return new DataView(entries.buffer).getInt32(40 + policy + entry + 32, true) === VERDICT_ACCEPT;
  } finally {
    libc().close(fd);
  }
}
