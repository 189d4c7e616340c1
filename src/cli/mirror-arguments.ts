import { LighterError } from "../base/errors.ts";

/** What commands about mirrors are given: a registry (docker.io when none is named), then URLs. Throws `invalid` for a second registry. */
export function mirrorArguments(args: readonly string[]): { registry: string; urls: string[] } {
  const [first = ""] = args;
  const named = args.length > 0 && !first.includes("://");
  const urls = named ? args.slice(1) : [...args];
  const odd = urls.find((url) => !url.includes("://"));
  if (odd !== undefined)
    throw new LighterError("invalid", `Cannot take "${odd}" for a mirror: it is no URL like https://mirror.example.com`);
  return { registry: named ? first : "docker.io", urls };
}
