import { LighterError } from "../base/errors.ts";
import { parseSubnet, width } from "./addresses.ts";

/** Where subnets of new networks come from: `base` in CIDR form is cut into pieces of prefix length `size`. */
export interface AddressPool {
  base: string;
  size: number;
}

/** Parses the key `default-address-pools` of a daemon.json. Throws `invalid` naming the pool that is wrong. */
export function parsePools(value: unknown): AddressPool[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong(value, 'it must be a list like [{"base": "10.128.0.0/9", "size": 24}]');
  return value.map(checkedPool);
}

/** Parses one `--default-address-pool base=10.128.0.0/9,size=24`. Throws `invalid`. */
export function parsePoolFlag(text: string): AddressPool {
  const fields = text.split(",").map((field) => field.split("=").map((part) => part.trim()));
  const known = new Map(fields.map(([key = "", value = ""]) => [key.toLowerCase(), value]));
  const stranger = [...known.keys()].find((key) => key !== "base" && key !== "size" && key !== "scope");
  if (stranger !== undefined) throw wrong(text, `unexpected key "${stranger}"`);
  return checkedPool({ base: known.get("base"), size: Number(known.get("size") || Number.NaN) });
}

function checkedPool(value: unknown): AddressPool {
  const { base, size } = (value ?? {}) as { base?: unknown; size?: unknown };
  if (typeof base !== "string") throw wrong(value, 'it needs a "base" like "10.128.0.0/9"');
  const subnet = parseSubnet(base);
  if (typeof size !== "number" || !Number.isInteger(size) || size < subnet.length || size > width(subnet.family))
    throw wrong(value, `it needs a "size" from ${subnet.length} (the base's own prefix length) to ${width(subnet.family)}`);
  return { base, size };
}

function wrong(value: unknown, why: string): LighterError {
  const shown = typeof value === "string" ? value : JSON.stringify(value);
  return new LighterError("invalid", `invalid default address pool ${shown}: ${why}`);
}
