import type { ContainerConfig } from "../wire/engine-api.ts";

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The environment of a container's process: PATH, HOSTNAME and, on a terminal, TERM; what links tell; then what is configured; HOME where that left it out. */
export function environmentOf(config: ContainerConfig, hostname: string, home: string, links: readonly string[] = []): string[] {
  const env = new Map<string, string>([
    ["PATH", PATH],
    ["HOSTNAME", hostname],
  ]);
  if (config.Tty) env.set("TERM", "xterm");
  return withHome(apply(apply(env, links), config.Env ?? []), home);
}

/** The environment of an exec: the container's, then its own; a terminal of its own gets TERM, unless somebody has set it. */
export function execEnvironment(
  config: ContainerConfig,
  hostname: string,
  home: string,
  own: readonly string[],
  terminal: boolean,
): string[] {
  const env = new Map<string, string>([
    ["PATH", PATH],
    ["HOSTNAME", hostname],
  ]);
  if (terminal) env.set("TERM", "xterm");
  return withHome(apply(apply(env, config.Env ?? []), own), home);
}

/** Sets what has a `=`, and removes what has none. */
function apply(env: Map<string, string>, entries: readonly string[]): Map<string, string> {
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    if (equals < 0) env.delete(entry);
    else env.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  return env;
}

function withHome(env: Map<string, string>, home: string): string[] {
  if (!env.get("HOME")) env.set("HOME", home);
  return [...env].map(([name, value]) => `${name}=${value}`);
}
