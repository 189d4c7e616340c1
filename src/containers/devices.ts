import { lstatSync, readdirSync, realpathSync, statSync, type Stats } from "node:fs";
import { LighterError } from "../base/errors.ts";
import type { DeviceRule, Linux } from "../oci/spec.ts";
import type { HostConfig } from "../wire/engine-api.ts";

type Device = NonNullable<Linux["devices"]>[number];

/**
 * What every container may do: nothing, but make any node, and use the harmless ones (null, zero, full, random, urandom, tty, console, pts).
 * One rule denies, and it is the first: systemd's driver cannot express others (crun 1.21 refuses them).
 */
const DEFAULT_RULES: readonly DeviceRule[] = [
  { allow: false, access: "rwm" },
  ...[
    [1, 5],
    [1, 3],
    [1, 9],
    [1, 8],
    [5, 0],
    [5, 1],
  ].map(([major = 0, minor = 0]) => ({ allow: true, type: "c" as const, major, minor, access: "rwm" })),
];

/** Device nodes that are the runtime's to make, or no devices of the host's. */
const OWN = new Set(["/dev/console", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"]);

/** Device nodes and device rules of a container. Throws `invalid` with Docker's texts. */
export function devicesOf(host: HostConfig): { devices: Device[]; rules: DeviceRule[] } {
  if (host.Privileged) return { devices: [...allDevices(), ...renamed(host)], rules: [{ allow: true, access: "rwm" }] };
  const devices: Device[] = [];
  const rules: DeviceRule[] = [...DEFAULT_RULES];
  for (const mapping of host.Devices ?? []) {
    const access = checkAccess(mapping.CgroupPermissions || "rwm");
    for (const device of mapped(mapping.PathOnHost ?? "", mapping.PathInContainer ?? "")) {
      devices.push(device);
      rules.push({ allow: true, type: device.type === "b" ? "b" : "c", major: device.major, minor: device.minor, access });
    }
  }
  for (const rule of host.DeviceCgroupRules ?? []) rules.push(parseRule(rule));
  return { devices, rules };
}

/** What a privileged container wants under another name; under their own they are there already. */
function renamed(host: HostConfig): Device[] {
  return (host.Devices ?? []).flatMap(({ PathOnHost = "", PathInContainer = "" }) =>
    PathInContainer === "" || PathInContainer === PathOnHost ? [] : mapped(PathOnHost, PathInContainer),
  );
}

/** Checks the words of device mappings and rules; the devices themselves are looked for at the start. Throws `invalid` with Docker's texts. */
export function checkDevices(host: HostConfig): void {
  for (const { CgroupPermissions } of host.Devices ?? []) checkAccess(CgroupPermissions || "rwm");
  for (const rule of host.DeviceCgroupRules ?? []) parseRule(rule);
}

function checkAccess(access: string): string {
  if (!/^[rwm]{1,3}$/.test(access)) throw new LighterError("invalid", `invalid device mode: ${access}`);
  return access;
}

/** A value of `--device-cgroup-rule`: `c 42:* rmw`. */
export function parseRule(text: string): DeviceRule {
  const match = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/.exec(text);
  if (!match) throw new LighterError("invalid", `invalid device cgroup rule format: '${text}'`);
  const [, type = "a", major = "*", minor = "*", access = "rwm"] = match;
  return {
    allow: true,
    type: type as "a" | "b" | "c",
    ...(major === "*" ? {} : { major: Number(major) }),
    ...(minor === "*" ? {} : { minor: Number(minor) }),
    access,
  };
}

/** A device, or all devices below a directory. */
function mapped(source: string, target: string): Device[] {
  const place = target === "" ? source : target;
  let path: string;
  let stat: Stats;
  try {
    path = realpathSync(source);
    stat = statSync(path);
  } catch (cause) {
    throw new LighterError(
      "invalid",
      `error gathering device information while adding custom device "${source}": no such file or directory`,
      {
        cause,
      },
    );
  }
  if (stat.isDirectory()) return deviceTree(path).map((device) => ({ ...device, path: place + device.path.slice(path.length) }));
  const device = deviceAt(path, stat);
  if (device === undefined)
    throw new LighterError("invalid", `error gathering device information while adding custom device "${source}": not a device node`);
  return [{ ...device, path: place }];
}

function allDevices(): Device[] {
  return deviceTree("/dev").filter(({ path }) => !OWN.has(path));
}

function deviceTree(directory: string): Device[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory())
      return ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"].includes(entry.name) ? [] : deviceTree(path);
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return [];
    try {
      return deviceAt(path, lstatSync(path)) ?? [];
    } catch {
      return [];
    }
  });
}

function deviceAt(path: string, stat: Stats): Device | undefined {
  const type = stat.isBlockDevice() ? "b" : stat.isCharacterDevice() ? "c" : undefined;
  if (type === undefined) return undefined;
  return { path, type, ...deviceNumbers(stat.rdev), fileMode: stat.mode & 0o777, uid: stat.uid, gid: stat.gid };
}

/** glibc's `gnu_dev_major` and `gnu_dev_minor`. */
export function deviceNumbers(rdev: number): { major: number; minor: number } {
  const value = BigInt(rdev);
  return {
    major: Number(((value >> 8n) & 0xfffn) | ((value >> 32n) & ~0xfffn)),
    minor: Number((value & 0xffn) | ((value >> 12n) & ~0xffn)),
  };
}
