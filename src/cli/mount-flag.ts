import { LighterError, messageOf } from "../base/errors.ts";
import { parseBytes } from "../base/units.ts";
import type { Mount } from "../wire/engine-api.ts";
import { type OwnMount, parseIdMap } from "../wire/id-map.ts";
import { csvFields } from "./csv.ts";
import { keyValue } from "./flags.ts";
import { node } from "./node.ts";
import { splitOnce } from "./ports.ts";

type Bind = NonNullable<Mount["BindOptions"]>;
type VolumeMount = NonNullable<Mount["VolumeOptions"]>;
type Tmpfs = NonNullable<Mount["TmpfsOptions"]>;

/** Options that stand for "yes" when they have no value. */
const SWITCHES = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src", "idmap"]);

/** Parses the value of `--mount`: `type=bind,src=/a,dst=/b,readonly`. Throws `invalid` with docker's texts. */
export function parseMount(text: string): OwnMount {
  const mount: OwnMount = { Type: "volume", Target: "" };
  const bind: Bind = {};
  const volume: VolumeMount = {};
  const tmpfs: Tmpfs = {};
  for (const field of csvFields(text)) {
    const [rawKey, given] = splitOnce(field);
    const key = rawKey.toLowerCase();
    if (given === undefined && !SWITCHES.has(key)) throw new LighterError("invalid", `invalid field '${field}' must be a key=value pair`);
    const value = given ?? "true";
    switch (key) {
      case "type":
        mount.Type = value.toLowerCase() as NonNullable<Mount["Type"]>;
        break;
      case "source":
      case "src":
        mount.Source =
          value === "." || value.startsWith("./") || value.startsWith("../") || value === ".." ? node.path.resolve(value) : value;
        break;
      case "target":
      case "dst":
      case "destination":
        mount.Target = value;
        break;
      case "readonly":
      case "ro":
        mount.ReadOnly = parseSwitch(key, value);
        break;
      case "consistency":
        mount.Consistency = value.toLowerCase();
        break;
      case "bind-propagation":
        bind.Propagation = value.toLowerCase() as NonNullable<Bind["Propagation"]>;
        break;
      case "bind-nonrecursive":
        bind.NonRecursive = parseSwitch(key, value);
        break;
      case "bind-create-src":
        bind.CreateMountpoint = parseSwitch(key, value);
        break;
      case "bind-recursive":
        setRecursive(bind, value);
        break;
      case "volume-subpath":
        volume.Subpath = value;
        break;
      case "volume-nocopy":
        volume.NoCopy = parseSwitch(key, value);
        break;
      case "volume-label":
        volume.Labels = { ...volume.Labels, ...keyValue(value) };
        break;
      case "volume-driver":
        volume.DriverConfig = { ...volume.DriverConfig, Name: value };
        break;
      case "volume-opt":
        volume.DriverConfig = { ...volume.DriverConfig, Options: { ...volume.DriverConfig?.Options, ...keyValue(value) } };
        break;
      case "image-subpath":
        mount.ImageOptions = { Subpath: value };
        break;
      case "idmap":
        parseIdMap(given ?? "");
        mount.Lighter = { IdMap: given ?? "" };
        break;
      case "tmpfs-size":
        tmpfs.SizeBytes = parseSize(key, value);
        break;
      case "tmpfs-mode":
        if (!/^[0-7]+$/.test(value)) throw new LighterError("invalid", `invalid value for ${key}: ${value}`);
        tmpfs.Mode = parseInt(value, 8);
        break;
      default:
        throw new LighterError("invalid", `unexpected key '${rawKey}' in '${field}'`);
    }
  }
  if (Object.keys(bind).length > 0) mount.BindOptions = bind;
  if (Object.keys(volume).length > 0) mount.VolumeOptions = volume;
  if (Object.keys(tmpfs).length > 0) mount.TmpfsOptions = tmpfs;
  check(mount);
  return mount;
}

function check(mount: OwnMount): void {
  if (!mount.Target) throw new LighterError("invalid", "target is required");
  const wrong = (option: string): LighterError =>
    new LighterError("invalid", `cannot mix '${option}' options with mount type '${mount.Type ?? ""}'`);
  if (mount.VolumeOptions && mount.Type !== "volume") throw wrong("volume-*");
  if (mount.BindOptions && mount.Type !== "bind") throw wrong("bind-*");
  if (mount.TmpfsOptions && mount.Type !== "tmpfs") throw wrong("tmpfs-*");
  if (mount.ImageOptions && mount.Type !== "image") throw wrong("image-*");
  if (mount.Lighter && mount.Type !== "bind" && mount.Type !== "volume") throw wrong("idmap");
  checkForceRecursive(mount);
  if (mount.BindOptions?.ReadOnlyNonRecursive && !mount.ReadOnly) {
    throw new LighterError("invalid", "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  }
}

/** What is read-only all the way down can only be so, and must not be undone from elsewhere. */
function checkForceRecursive({ ReadOnly, BindOptions: bind }: Mount): void {
  if (!bind?.ReadOnlyForceRecursive) return;
  const needs = (what: string): LighterError =>
    new LighterError("invalid", `option 'bind-recursive=readonly' requires '${what}' to be specified in conjunction`);
  if (!ReadOnly) throw needs("readonly");
  if (bind.Propagation !== "rprivate") throw needs("bind-propagation=rprivate");
}

function setRecursive(bind: Bind, value: string): void {
  if (value === "enabled") return;
  if (value === "disabled") bind.NonRecursive = true;
  else if (value === "writable") bind.ReadOnlyNonRecursive = true;
  else if (value === "readonly") bind.ReadOnlyForceRecursive = true;
  else
    throw new LighterError(
      "invalid",
      `invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
    );
}

function parseSwitch(key: string, value: string): boolean {
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw new LighterError("invalid", `invalid value for ${key}: ${value}`);
}

function parseSize(key: string, value: string): number {
  try {
    return parseBytes(value);
  } catch (error) {
    throw new LighterError("invalid", `invalid value for ${key}: ${value}`, { cause: messageOf(error) });
  }
}
