import { parseArgs } from "node:util";
import { LighterError, messageOf } from "./base/errors.ts";
import { DOCKER_KEYS } from "./engine/docker-keys.ts";

const text = { type: "string" } as const;
const texts = { type: "string", multiple: true } as const;
const flag = { type: "boolean" } as const;

/** Flags of dockerd's that are nothing but keys of daemon.json in another place. */
const AS_KEYS = {
  "allow-direct-routing": flag,
  "api-cors-header": text,
  "apparmor-profile": text,
  "authorization-plugin": texts,
  bip6: text,
  bridge: { ...text, short: "b" },
  "bridge-accept-fwmark": text,
  containerd: text,
  "containerd-namespace": text,
  "containerd-plugins-namespace": text,
  "cpu-rt-period": text,
  "cpu-rt-runtime": text,
  "cri-containerd": flag,
  "default-gateway": text,
  "default-gateway-v6": text,
  "default-network-opt": texts,
  feature: texts,
  "firewall-backend": text,
  "fixed-cidr-v6": text,
  group: { ...text, short: "G" },
  "host-gateway-ip": texts,
  "ip-forward-no-drop": flag,
  ip6tables: flag,
  ipv6: flag,
  "live-restore": flag,
  "log-format": text,
  "metrics-addr": text,
  "network-control-plane-mtu": text,
  "node-generic-resource": texts,
  "oom-score-adjust": text,
  "raw-logs": flag,
  rootless: flag,
  "selinux-enabled": flag,
  "storage-driver": { ...text, short: "s" },
  "storage-opt": texts,
  "swarm-default-advertise-addr": text,
  "userland-proxy-path": text,
  "userns-remap": text,
} as const;

/** parseArgs takes `--no-new-privileges` for the opposite of another flag: it goes by this name. */
export const FIXED_PRIVILEGES = "fixed-privileges";
/** `--no-proxy`, likewise. */
export const BYPASS = "bypass-proxy";

/** All flags of `lighter daemon`. */
export const FLAGS = {
  ...AS_KEYS,
  help: flag,
  validate: flag,
  version: { ...flag, short: "v" },
  "data-root": text,
  "exec-root": text,
  host: { ...texts, short: "H" },
  pidfile: { ...text, short: "p" },
  "log-level": { ...text, short: "l" },
  debug: { ...flag, short: "D" },
  "config-file": text,
  "bridge-name": text,
  bip: text,
  "default-address-pool": texts,
  "published-ports": text,
  dns: texts,
  "dns-search": texts,
  "dns-opt": texts,
  mtu: text,
  icc: flag,
  ip: text,
  "ip-masq": flag,
  "ip-forward": flag,
  "fixed-cidr": text,
  iptables: flag,
  "userland-proxy": flag,
  "exec-opt": texts,
  "log-driver": text,
  "log-opt": texts,
  "own-cgroup": flag,
  "default-ulimit": texts,
  "default-shm-size": text,
  "default-ipc-mode": text,
  "default-cgroupns-mode": text,
  [FIXED_PRIVILEGES]: flag,
  "seccomp-profile": text,
  "cgroup-parent": text,
  "cdi-spec-dir": texts,
  "init-path": text,
  init: flag,
  experimental: flag,
  "add-runtime": texts,
  "default-runtime": text,
  "registry-mirror": texts,
  "insecure-registry": texts,
  "allow-nondistributable-artifacts": texts,
  "http-proxy": text,
  "https-proxy": text,
  [BYPASS]: text,
  label: texts,
  "shutdown-timeout": text,
  "max-concurrent-downloads": text,
  "max-concurrent-uploads": text,
  "max-download-attempts": text,
  tls: flag,
  tlsverify: flag,
  tlscacert: text,
  tlscert: text,
  tlskey: text,
} as const;

/** What the command line of `lighter daemon` says. */
export type Flags = ReturnType<typeof parseFlags>;

/** Reads the command line. Throws `invalid` for flags that are none. */
export function parseFlags(argv: string[]) {
  try {
    return parseArgs({
      args: argv.map(goBoolean),
      allowNegative: true,
      options: FLAGS,
    }).values;
  } catch (cause) {
    throw new LighterError("invalid", `Cannot start the daemon: ${messageOf(cause)}`, { cause });
  }
}

/** Whether {@link keysOfFlags} has a flag. */
export function isKeyFlag(name: string): boolean {
  return Object.hasOwn(AS_KEYS, name);
}

const KEY_OF: ReadonlyMap<string, string> = new Map(
  Object.entries(DOCKER_KEYS).map(([key, { flag: name }]) => [name === undefined || name === null ? key : name, key]),
);

/** Whether a flag of dockerd's is known. */
export function isFlag(name: string): boolean {
  const probe = (word: string): boolean => {
    try {
      parseFlags([word]);
      return true;
    } catch (error) {
      return !messageOf(error).startsWith("Cannot start the daemon: Unknown option");
    }
  };
  return probe(`--${name}`);
}

/** The flags that are keys of daemon.json, as the file would have them. Throws `invalid` for a value that cannot be one. */
export function keysOfFlags(flags: Flags): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  for (const name of Object.keys(AS_KEYS) as (keyof typeof AS_KEYS)[]) {
    const value = flags[name];
    if (value !== undefined) json[KEY_OF.get(name) ?? name] = valueOf(name, value);
  }
  return json;
}

function valueOf(name: string, value: string | boolean | string[]): unknown {
  if (name === "feature" && Array.isArray(value)) return Object.fromEntries(value.map(featureOf));
  if (name === "default-network-opt" && Array.isArray(value)) return optionsByDriver(value);
  return DOCKER_KEYS[name]?.takes === "number" && typeof value === "string" ? Number(value) : value;
}

/** `NAME`, `NAME=true` or `NAME=false`. */
function featureOf(word: string): [string, boolean] {
  const [name = "", value = "true"] = word.split("=");
  if (name === "" || !["true", "1", "false", "0"].includes(value))
    throw new LighterError("invalid", `Cannot use --feature ${JSON.stringify(word)}: expected NAME=true or NAME=false`);
  return [name, value === "true" || value === "1"];
}

/** `DRIVER=OPTION=VALUE`, several times. */
function optionsByDriver(words: readonly string[]): Record<string, Record<string, string>> {
  const found: Record<string, Record<string, string>> = {};
  for (const word of words) {
    const [, driver = "", option = "", value = ""] = /^([^=]+)=([^=]+)=(.*)$/s.exec(word) ?? [];
    if (driver === "")
      throw new LighterError("invalid", `Cannot use --default-network-opt ${JSON.stringify(word)}: expected DRIVER=OPTION=VALUE`);
    (found[driver] ??= {})[option] = value;
  }
  return found;
}

/** Go's `--flag=false` in the form that parseArgs takes. */
function goBoolean(argument: string): string {
  return argument
    .replace(/^--no-new-privileges(?==|$)/, `--${FIXED_PRIVILEGES}`)
    .replace(/^--no-proxy(?==|$)/, `--${BYPASS}`)
    .replace(/^--([a-z0-9-]+)=(true|1|false|0)$/, (whole, name: string, value: string) =>
      BOOLEANS.has(name) ? (value === "true" || value === "1" ? `--${name}` : `--no-${name}`) : whole,
    );
}

/** Flags that may be said to be false. */
const BOOLEANS: ReadonlySet<string> = new Set([
  ...Object.entries(AS_KEYS).flatMap(([name, { type }]) => (type === "boolean" ? [name] : [])),
  ...["tls", "tlsverify", "debug", "init", "experimental", "own-cgroup", FIXED_PRIVILEGES],
  ...["icc", "ip-masq", "ip-forward", "iptables", "userland-proxy"],
]);
