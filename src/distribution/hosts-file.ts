import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import { parseDuration } from "../base/units.ts";
import type { HostCapability, HostTls, RegistryHost } from "./distribution.ts";

/** What a `hosts.toml` says: hosts in the order of the file, and who stands for the registry itself (undefined: it does). */
export interface HostsFile {
  path: string;
  hosts: FileHost[];
  server: FileHost | undefined;
}

/** One host of a `hosts.toml`, as far as the file tells. */
export type FileHost = Pick<RegistryHost, "url" | "overridePath" | "headers" | "tls" | "patience"> & {
  capabilities: HostCapability[] | undefined;
};

const CAPABILITIES: readonly HostCapability[] = ["pull", "resolve", "push"];
const FIELDS = ["capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout"];
const cache = new Map<string, { stamp: string; file: HostsFile }>();

/**
 * Finds and reads the `hosts.toml` of a registry: `<directory>/<host>_<port>_/`, `<host>:<port>/`, then `_default/`; read again when it has changed.
 * Throws `invalid` naming the file and what is wrong. https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function hostsFileOf(directories: readonly string[], registry: string): HostsFile | undefined {
  const ported = registry.replace(/:(\d+)$/, "_$1_");
  for (const directory of directories) {
    for (const name of new Set([ported, registry, "_default"])) {
      const file = readHostsFile(join(directory, name, "hosts.toml"));
      if (file !== undefined) return file;
    }
  }
  return undefined;
}

/** Small, local and cached by its stamp: read in place. */
function readHostsFile(path: string): HostsFile | undefined {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (stat === undefined || !stat.isFile()) return undefined;
  const stamp = `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
  const known = cache.get(path);
  if (known?.stamp === stamp) return known.file;
  if (stat.size > 1 << 20) throw wrong(path, "it is larger than 1 MiB");
  const file = parseHostsFile(readFileSync(path, "utf8"), path);
  cache.set(path, { stamp, file });
  return file;
}

/** Parses a `hosts.toml`. Throws `invalid`. */
export function parseHostsFile(text: string, path: string): HostsFile {
  let toml: Record<string, unknown>;
  try {
    toml = Bun.TOML.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw wrong(path, messageOf(cause), cause);
  }
  const { server, host = {}, ...common } = toml;
  if (server !== undefined && typeof server !== "string") throw wrong(path, '"server" must be a string');
  if (!isTable(host)) throw wrong(path, '"host" must be tables like [host."https://mirror.example.com"]');
  const hosts = Object.entries(host).map(([url, fields]) => {
    if (!isTable(fields)) throw wrong(path, `[host."${url}"] must be a table`);
    return hostOf(url, fields, path);
  });
  // Fields above the first table are about the server.
  return { path, hosts, server: server === undefined ? undefined : hostOf(server, common, path) };
}

function hostOf(text: string, fields: Record<string, unknown>, path: string): FileHost {
  const unknown = Object.keys(fields).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw wrong(path, `unknown field "${unknown}" for "${text}"`);
  const tls = tlsOf(fields, path);
  const override = flag(fields, "override_path", path);
  const headers = headersOf(fields["header"], path);
  const patience = patienceOf(fields["dial_timeout"], path);
  return {
    url: addressOf(text, override, path),
    capabilities: capabilitiesOf(fields["capabilities"], path),
    ...(override ? { overridePath: true } : {}),
    ...(headers === undefined ? {} : { headers }),
    ...(tls === undefined ? {} : { tls }),
    ...(patience === undefined ? {} : { patience }),
  };
}

/** A duration as Go writes it, in milliseconds. */
function patienceOf(value: unknown, path: string): number | undefined {
  if (value === undefined) return undefined;
  try {
    const milliseconds = parseDuration(String(value)) / 1e6;
    if (milliseconds > 0) return milliseconds;
  } catch {
    // Told below.
  }
  throw wrong(path, '"dial_timeout" must be a duration like "5s"');
}

/** Without a scheme it is HTTPS; `/v2` at the end is what a client appends anyway. */
function addressOf(text: string, override: boolean, path: string): string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`;
  const parsed = URL.parse(url);
  if (parsed === null || !["http:", "https:"].includes(parsed.protocol) || parsed.hostname === "") {
    throw wrong(path, `"${text}" is no address of a registry`);
  }
  const plain = url.replace(/\/+$/, "");
  return override ? plain : plain.replace(/\/v2$/, "");
}

function capabilitiesOf(value: unknown, path: string): HostCapability[] | undefined {
  if (value === undefined) return undefined;
  const list = strings(value, path, "capabilities");
  const unknown = list.find((word) => !CAPABILITIES.includes(word as HostCapability));
  if (unknown !== undefined) throw wrong(path, `unknown capability "${unknown}"`);
  return list as HostCapability[];
}

function tlsOf(fields: Record<string, unknown>, path: string): HostTls | undefined {
  if (fields["ca"] === undefined && fields["client"] === undefined && fields["skip_verify"] === undefined) return undefined;
  const absolute = (file: string): string => (isAbsolute(file) ? file : join(dirname(path), file));
  const ca = fields["ca"] === undefined ? [] : strings(fields["ca"], path, "ca").map(absolute);
  return { ca, client: pairsOf(fields["client"], path, absolute), skipVerify: flag(fields, "skip_verify", path) };
}

/** A file with both, a list of such, or a list of pairs of certificate and key. */
function pairsOf(value: unknown, path: string, absolute: (file: string) => string): HostTls["client"][number][] {
  if (value === undefined) return [];
  return (Array.isArray(value) ? value : [value]).map((entry: unknown) => {
    const [cert, key = cert] = strings(entry, path, "client").map(absolute);
    if (cert === undefined || key === undefined) throw wrong(path, '"client" must be a file, or pairs of certificate and key');
    return { cert, key };
  });
}

function headersOf(value: unknown, path: string): Record<string, string> | undefined {
  if (value === undefined) return undefined;
  if (!isTable(value)) throw wrong(path, '"header" must be a table');
  return Object.fromEntries(
    Object.entries(value).map(([name, text]) => [name.toLowerCase(), strings(text, path, `header.${name}`).join(", ")]),
  );
}

function strings(value: unknown, path: string, field: string): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (!list.every((item) => typeof item === "string")) throw wrong(path, `"${field}" must be strings`);
  return list;
}

function flag(fields: Record<string, unknown>, name: string, path: string): boolean {
  const value = fields[name] ?? false;
  if (typeof value !== "boolean") throw wrong(path, `"${name}" must be true or false`);
  return value;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(path: string, what: string, cause?: unknown): LighterError {
  return new LighterError("invalid", `Cannot use "${path}": ${what}`, cause === undefined ? {} : { cause });
}
