import { existsSync } from "node:fs";
import { LighterError, messageOf } from "../base/errors.ts";
import { newId } from "../base/ids.ts";
import type { ContainerConfig, HostConfig, Mount } from "../wire/engine-api.ts";
import { type IdMap, type OwnMount, parseIdMap } from "../wire/id-map.ts";
import { checkTarget, checkVolumeName, cleanPath, parseBind, parseVolumeTarget } from "./bind-spec.ts";
import type { PlannedMount } from "./desired.ts";
import { checkTmpfsOptions } from "./tmpfs-options.ts";

/**
 * Decides every mount that was asked for: `--volumes-from`, then `-v`, then `--mount`, then what the image or the caller declares as a
 * volume and nothing else covers. Anonymous volumes get their names here.
 * @param mountsOf the mounts of another container, by its name or id; throws `not-found`
 */
export function planMounts(config: ContainerConfig, host: HostConfig, mountsOf: (container: string) => PlannedMount[]): PlannedMount[] {
  const planned = new Map<string, PlannedMount>();
  for (const spec of host.VolumesFrom ?? []) for (const mount of fromContainer(spec, mountsOf)) planned.set(mount.destination, mount);

  const named = new Set<string>();
  const add = (mount: PlannedMount): void => {
    if (named.has(mount.destination)) throw new LighterError("invalid", `Duplicate mount point: ${mount.destination}`);
    named.add(mount.destination);
    planned.set(mount.destination, mount);
  };
  for (const [target, options] of Object.entries(host.Tmpfs ?? {})) {
    named.add(checkTmpfsTarget(target));
    checkTmpfsOptions(options);
  }
  const driver = host.VolumeDriver ? { driver: host.VolumeDriver } : {};
  for (const bind of host.Binds ?? []) {
    if (!bind.includes(":")) add(anonymous(parseVolumeTarget(bind), driver));
    else {
      const mount = parseBind(bind);
      add(mount.type === "volume" ? { ...mount, ...driver } : mount);
    }
  }
  for (const mount of host.Mounts ?? []) add(fromMount(mount));
  for (const spec of Object.keys(config.Volumes ?? {})) {
    const target = parseVolumeTarget(spec);
    if (!planned.has(target) && !named.has(target)) planned.set(target, anonymous(target, driver));
  }
  return [...planned.values()];
}

/** Docker's texts for `--tmpfs` are those of a mount without its kind. */
function checkTmpfsTarget(target: string): string {
  try {
    return checkTarget("tmpfs", target);
  } catch (error) {
    throw new LighterError("invalid", messageOf(error).replace('invalid mount config for type "tmpfs": ', ""), { cause: error });
  }
}

function anonymous(destination: string, driver: { driver?: string }): PlannedMount {
  return {
    type: "volume",
    source: newId(),
    destination,
    rw: true,
    mode: "",
    propagation: "",
    fromBind: false,
    anonymous: true,
    ...driver,
  };
}

function fromContainer(spec: string, mountsOf: (container: string) => PlannedMount[]): PlannedMount[] {
  if (spec === "") throw new LighterError("invalid", "volumes-from specification cannot be an empty string");
  const [container = "", ...modes] = spec.split(":");
  const mode = modes.length === 0 ? "rw" : modes.join(":");
  if (container === "") throw new LighterError("invalid", `invalid volumes-from specification: ${spec}`);
  if (!/^(?:ro|rw|z|Z)(?:,(?:ro|rw|z|Z))?$/.test(mode)) throw new LighterError("invalid", `invalid mode: ${mode}`);
  const readOnly = mode.split(",").includes("ro");
  return mountsOf(container).map((mount) => {
    const { anonymous: _own, ...shared } = mount;
    return { ...shared, rw: mount.rw && !readOnly, mode: "", ...(mount.type === "volume" ? { noCopy: true } : {}) };
  });
}

/** A mount of `--mount`. The source of a bind must exist, unless the caller asks for it to be made. */
function fromMount(mount: Mount): PlannedMount {
  const type = mount.Type ?? "";
  const fail = (why: string): LighterError => new LighterError("invalid", `invalid mount config for type "${type}": ${why}`);
  const exclude = (name: keyof Mount, present: unknown): void => {
    if (present !== undefined && present !== null) throw fail(`field ${name} must not be specified`);
  };
  const destination = checkTarget(type, mount.Target ?? "");
  const idMap = idMapOf(mount, type);
  const common = { destination, rw: !(mount.ReadOnly ?? false), mode: "", propagation: "", fromBind: false, ...(idMap && { idMap }) };
  const source = mount.Source ?? "";
  switch (type) {
    case "bind": {
      exclude("VolumeOptions", mount.VolumeOptions);
      exclude("TmpfsOptions", mount.TmpfsOptions);
      if (source === "") throw fail("field Source must not be empty");
      if (!source.startsWith("/")) throw fail(`invalid mount path: '${source}' mount path must be absolute`);
      const options = mount.BindOptions ?? {};
      if (!options.CreateMountpoint && !existsSync(source)) throw fail(`bind source path does not exist: ${source}`);
      if (options.Propagation && !/^r?(?:private|shared|slave)$/.test(options.Propagation))
        throw fail(`invalid propagation mode: ${options.Propagation}`);
      return {
        ...common,
        type,
        source: cleanPath(source),
        propagation: options.Propagation || "rprivate",
        ...(options.NonRecursive ? { nonRecursive: true } : {}),
        ...(options.CreateMountpoint ? { createSource: true } : {}),
        ...(options.ReadOnlyNonRecursive ? { readOnlyNonRecursive: true } : {}),
        ...(options.ReadOnlyForceRecursive ? { forceRecursiveReadOnly: true } : {}),
      };
    }
    case "volume": {
      exclude("BindOptions", mount.BindOptions);
      exclude("TmpfsOptions", mount.TmpfsOptions);
      if (source === "" && mount.ReadOnly) throw fail("must not set ReadOnly mode when using anonymous volumes");
      if (source !== "") checkVolumeName(source);
      const options = mount.VolumeOptions ?? {};
      if (options.Subpath && (options.Subpath.startsWith("/") || options.Subpath.split("/").includes("..")))
        throw fail("subpath must be a relative path within the volume");
      return {
        ...common,
        type,
        source: source === "" ? newId() : source,
        mode: "z",
        ...(source === "" ? { anonymous: true } : {}),
        ...(options.NoCopy ? { noCopy: true } : {}),
        ...(options.Labels ? { labels: options.Labels } : {}),
        ...(options.Subpath ? { subpath: options.Subpath } : {}),
        ...(options.DriverConfig?.Name ? { driver: options.DriverConfig.Name } : {}),
        ...(options.DriverConfig?.Options ? { driverOptions: options.DriverConfig.Options } : {}),
      };
    }
    case "tmpfs": {
      exclude("BindOptions", mount.BindOptions);
      exclude("VolumeOptions", mount.VolumeOptions);
      if (source !== "") throw fail("field Source must not be specified");
      return { ...common, type, source: "", tmpfsOptions: tmpfsOptions(mount) };
    }
    case "image": {
      exclude("BindOptions", mount.BindOptions);
      exclude("VolumeOptions", mount.VolumeOptions);
      exclude("TmpfsOptions", mount.TmpfsOptions);
      if (source === "") throw fail("field Source must not be empty");
      return { ...common, type, source, rw: false, ...(mount.ImageOptions?.Subpath ? { subpath: mount.ImageOptions.Subpath } : {}) };
    }
    default:
      throw fail("mount type unknown");
  }
}

function idMapOf({ Lighter: own }: OwnMount, type: string): IdMap | undefined {
  if (own?.IdMap === undefined) return undefined;
  if (type === "bind" || type === "volume") return parseIdMap(own.IdMap);
  throw new LighterError("invalid", `invalid mount config for type "${type}": field IdMap must not be specified`);
}

function tmpfsOptions(mount: Mount): string[] {
  const options = mount.TmpfsOptions ?? {};
  const given = (options.Options ?? []).map((pair) => pair.join("="));
  if (mount.ReadOnly) given.push("ro");
  if (options.Mode) given.push(`mode=${options.Mode.toString(8)}`);
  if (options.SizeBytes) given.push(`size=${options.SizeBytes}`);
  return given;
}
