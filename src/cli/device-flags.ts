import { LighterError } from "../base/errors.ts";
import { parseBytes } from "../base/units.ts";
import type { DeviceMapping, DeviceRequest, ThrottleDevice } from "../wire/engine-api.ts";
import { csvFields } from "./csv.ts";
import { splitOnce } from "./ports.ts";

/** Whether a `--device` names a device of a vendor's description (CDI): `vendor.com/class=name`. */
export function isCdiName(text: string): boolean {
  return /^[a-zA-Z][\w.-]*\/[a-zA-Z][\w.-]*=[\w][\w.:-]*$/.test(text);
}

/** `--device HOST[:CONTAINER][:rwm]`. Throws `invalid` with docker's texts. */
export function parseDevice(text: string): DeviceMapping {
  const parts = text.split(":");
  const [source = "", second, third] = parts;
  if (parts.length > 3) throw new LighterError("invalid", `bad format for path: ${text}`);
  if (third !== undefined && !isMode(third)) throw new LighterError("invalid", `bad mode specified: ${third}`);
  const inside = second === undefined || (third === undefined && isMode(second)) ? source : second;
  if (!inside.startsWith("/")) throw new LighterError("invalid", `${inside} is not an absolute path`);
  const mapping = { PathOnHost: source, PathInContainer: source, CgroupPermissions: "rwm" };
  if (third !== undefined) return { PathOnHost: source, PathInContainer: second ?? source, CgroupPermissions: third };
  if (second === undefined) return mapping;
  return isMode(second) ? { ...mapping, CgroupPermissions: second } : { ...mapping, PathInContainer: second };
}

function isMode(text: string): boolean {
  return text !== "" && /^[rwm]+$/.test(text) && new Set(text).size === text.length;
}

/** `--device-cgroup-rule 'c 1:3 rwm'`. */
export function parseDeviceRule(text: string): string {
  if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(text)) throw new LighterError("invalid", `invalid device cgroup format '${text}'`);
  return text;
}

/** `--device-read-bps /dev/sda:1mb`. */
export function parseRateBytes(text: string): ThrottleDevice {
  const [path, rate] = throttled(text);
  try {
    return { Path: path, Rate: parseBytes(rate) };
  } catch {
    throw new LighterError(
      "invalid",
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`,
    );
  }
}

/** `--device-read-iops /dev/sda:100`. */
export function parseRateCount(text: string): ThrottleDevice {
  const [path, rate] = throttled(text);
  if (!/^\d+$/.test(rate))
    throw new LighterError(
      "invalid",
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
    );
  return { Path: path, Rate: Number(rate) };
}

/** `--blkio-weight-device /dev/sda:200`. */
export function parseWeight(text: string): { Path: string; Weight: number } {
  const [path, weight] = throttled(text);
  const number = /^\d+$/.test(weight) ? Number(weight) : -1;
  if (number < 0 || (number > 0 && (number < 10 || number > 1000))) throw new LighterError("invalid", `invalid weight for device: ${text}`);
  return { Path: path, Weight: number };
}

function throttled(text: string): [string, string] {
  const at = text.indexOf(":");
  if (at <= 0 || text.indexOf(":", at + 1) >= 0) throw new LighterError("invalid", `bad format: ${text}`);
  if (!text.startsWith("/dev/")) throw new LighterError("invalid", `bad format for device path: ${text}`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** `--gpus all`, `--gpus 2`, `--gpus '"device=0,1",capabilities=utility'`. */
export function parseGpus(text: string): DeviceRequest {
  const request: DeviceRequest = {};
  const capabilities = new Set<string>();
  const seen = new Set<string>();
  for (const field of csvFields(text)) {
    const [head, rest] = splitOnce(field);
    const [key, value] = rest === undefined ? ["count", head] : [head, rest];
    if (seen.has(key)) throw new LighterError("invalid", `gpu request key '${key}' can be specified only once`);
    seen.add(key);
    if (key === "driver") request.Driver = value;
    else if (key === "count") request.Count = parseCount(value);
    else if (key === "device") request.DeviceIDs = value.split(",");
    else if (key === "capabilities") for (const one of value.split(",")) capabilities.add(one);
    else if (key === "options")
      request.Options = Object.fromEntries(
        csvFields(value)
          .map((one) => splitOnce(one))
          .map(([name, set]) => [name, set ?? ""]),
      );
    else throw new LighterError("invalid", `unexpected key '${key}' in '${field}'`);
  }
  if (request.Count === undefined && request.DeviceIDs === undefined) request.Count = 1;
  capabilities.add("gpu");
  request.Capabilities = [[...capabilities]];
  return request;
}

function parseCount(text: string): number {
  if (text === "all") return -1;
  if (!/^\d+$/.test(text))
    throw new LighterError("invalid", `invalid count (${text}): value must be either "all" or an integer: invalid syntax`);
  return Number(text);
}
