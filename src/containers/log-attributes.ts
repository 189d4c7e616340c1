import { patternOf } from "./log-options.ts";
import { tagOf } from "./log-tag.ts";
import type { ContainerRow } from "./rows.ts";

type Described = Pick<ContainerRow, "id" | "name" | "image" | "desired">;

/** The labels and variables of a container that its log options ask for: `labels`, `labels-regex`, `env`, `env-regex`. */
export function logAttributes(row: Described, nameOf: (key: string) => string = (key) => key): Record<string, string> {
  const { Config: options = {} } = row.desired.hostConfig.LogConfig ?? {};
  const found: Record<string, string> = {};
  const take = (values: Record<string, string>, names: string | undefined, pattern: RegExp | undefined): void => {
    for (const name of names?.split(",") ?? []) if (values[name] !== undefined) found[nameOf(name)] = values[name];
    for (const [name, value] of Object.entries(values)) if (pattern?.test(name) === true) found[nameOf(name)] = value;
  };
  const { Labels, Env } = row.desired.config;
  take(Labels ?? {}, options["labels"], patternOf(options["labels-regex"]));
  const variables: Record<string, string> = {};
  for (const entry of Env ?? []) {
    const at = entry.indexOf("=");
    if (at > 0) variables[entry.slice(0, at)] = entry.slice(at + 1);
  }
  take(variables, options["env"], patternOf(options["env-regex"]));
  return found;
}

/** What `logs --details` shows before a line: `key=value` with both encoded as in a query, sorted; empty when nothing was asked for. */
export function logDetails(row: Described): string {
  const attributes = logAttributes(row);
  if (row.desired.hostConfig.LogConfig?.Config?.["tag"]) attributes["tag"] = tagOf(row, attributes);
  return Object.entries(attributes)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${encode(key)}=${encode(value)}`)
    .join(",");
}

/** As Go's url.QueryEscape. */
function encode(text: string): string {
  return encodeURIComponent(text)
    .replaceAll("%20", "+")
    .replaceAll(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
}
