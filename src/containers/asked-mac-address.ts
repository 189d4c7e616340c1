import { type Context, find } from "./context.ts";

/** See `Containers.askedMacAddress`. */
export function askedMacAddress(context: Context, reference: string): string | undefined {
  const { hostConfig, endpoints } = find(context, reference).desired;
  const mode = hostConfig.NetworkMode ?? "default";
  const main = endpoints[mode] ?? (mode === "bridge" ? endpoints["default"] : undefined);
  return main?.MacAddress || undefined;
}
