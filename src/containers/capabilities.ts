import { readFileSync } from "node:fs";
import { LighterError } from "../base/errors.ts";

/** All capabilities by number: https://man7.org/linux/man-pages/man7/capabilities.7.html */
const NAMES =
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
    .split(" ")
    .map((name) => `CAP_${name}`);

/** The fourteen that a container has unless told otherwise; Docker's. */
export const DEFAULT_CAPABILITIES: readonly string[] =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    .split(" ")
    .map((name) => `CAP_${name}`);

let bounding: ReadonlySet<string> | undefined;

/** The capabilities that this daemon can hand out: its own bounding set, from `/proc/self/status`. */
export function grantableCapabilities(): ReadonlySet<string> {
  if (bounding !== undefined) return bounding;
  const bits = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`);
  return (bounding = new Set(NAMES.filter((_name, number) => (bits >> BigInt(number)) & 1n)));
}

/**
 * The capabilities of a container from `--cap-add` and `--cap-drop` (`ALL` means all), in the kernel's order.
 * What the daemon lacks itself is left out and named in `missing`, where it was asked for by name.
 */
export function capabilitiesOf(options: {
  add: readonly string[];
  drop: readonly string[];
  privileged: boolean;
  grantable?: ReadonlySet<string>;
}): { list: string[]; missing: string[] } {
  const grantable = options.grantable ?? grantableCapabilities();
  if (options.privileged) return { list: NAMES.filter((name) => grantable.has(name)), missing: [] };
  const add = normalise(options.add, "CapAdd");
  const drop = normalise(options.drop, "CapDrop");
  const wanted = new Set(add.has("ALL") ? NAMES : drop.has("ALL") ? [] : DEFAULT_CAPABILITIES);
  for (const name of drop) wanted.delete(name);
  for (const name of add) if (name !== "ALL") wanted.add(name);
  return {
    list: NAMES.filter((name) => wanted.has(name) && grantable.has(name)),
    missing: [...add].filter((name) => name !== "ALL" && !grantable.has(name)),
  };
}

/** Names as flags take them (`net_admin`, `CAP_NET_ADMIN`, `all`) in one spelling. Throws `invalid` for unknown ones, with Docker's text. */
function normalise(names: readonly string[], flag: string): Set<string> {
  return new Set(
    names.map((text) => {
      const name = text.trim().toUpperCase();
      if (name === "ALL") return name;
      const full = name.startsWith("CAP_") ? name : `CAP_${name}`;
      if (!NAMES.includes(full)) throw new LighterError("invalid", `invalid ${flag}: unknown capability: "${full}"`);
      return full;
    }),
  );
}
