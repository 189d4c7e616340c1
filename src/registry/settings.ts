import { LighterError } from "../base/errors.ts";
import { parseBytes } from "../base/units.ts";

/** One rule of what is kept of the tags of some repositories. A tag that a rule covers and that none of its `keep` words holds is removed. */
export interface RetentionRule {
  /** Patterns of repositories; `*` stops at a slash, `**` does not. */
  repositories: string[];
  /** Patterns of the tags it is about. */
  tags: string[];
  /** So many of the tags it covers in each repository, the newest ones. */
  keepNewest?: number;
  /** Tags that were set within so many milliseconds. */
  keepYounger?: number;
  /** Tags that were pulled within so many milliseconds. */
  keepPulled?: number;
  /** Patterns of tags that always stay. */
  protect: string[];
}

/** When and how the registry takes away what nobody needs. */
export interface GcSettings {
  /** Milliseconds between two runs; undefined for none by itself. */
  interval?: number;
  /** How long a blob without a manifest, or one that somebody asked after, stays. Milliseconds. */
  grace: number;
  /** Manifests without a tag go after so many milliseconds; undefined keeps them. */
  untagged?: number;
}

/** One registry behind ours: repositories below `prefix` are its own, fetched when they are asked for. */
export interface ProxySettings {
  /** First part of the names here, as `docker.io`; empty for all that no other prefix covers. */
  prefix: string;
  url: string;
  username?: string;
  password?: string;
  insecure: boolean;
  /** How long a tag is believed without asking again, in milliseconds. */
  ttl: number;
}

/** A receiver of notifications. */
export interface WebhookSettings {
  name: string;
  url: string;
  headers: Record<string, string>;
  /** Actions that are told; empty for all. */
  actions: string[];
  /** Milliseconds until an answer must be here. */
  timeout: number;
}

/** A bucket of an S3-compatible store. */
export interface S3Settings {
  endpoint?: string;
  region?: string;
  bucket: string;
  /** What all keys begin with. */
  prefix: string;
  accessKeyId?: string;
  secretAccessKey?: string;
  virtualHostedStyle: boolean;
  /** Send clients to the store for blobs (presigned addresses) instead of handing bytes through. */
  redirect: boolean;
  /** Bytes of one part of an upload; S3 wants at least 5 MiB. */
  partSize: number;
}

/** Everything about the registry's storage and care that can be set. */
export interface Settings {
  s3?: S3Settings;
  proxies: ProxySettings[];
  /** Bytes that all proxied repositories may take together; undefined for no limit. */
  cacheLimit?: number;
  retention: RetentionRule[];
  gc: GcSettings;
  webhooks: WebhookSettings[];
  /** `path` serves Prometheus' text beside the registry, `address` on a listener of its own. */
  metrics: { path?: string; address?: string };
}

const HOUR = 3_600_000;

/** What holds where nothing is set. */
export function defaultSettings(): Settings {
  return { proxies: [], retention: [], gc: { grace: 24 * HOUR }, webhooks: [], metrics: {} };
}

type Json = Record<string, unknown>;

/** Reads the registry's storage settings of a configuration file. Throws `invalid` with a sentence that names the key. */
export function parseSettings(json: unknown): Settings {
  const root = new Fields(json, "registry");
  const settings = defaultSettings();
  const storage = root.child("storage");
  if (storage?.has("s3")) settings.s3 = s3Of(storage.child("s3") as Fields);
  settings.proxies = root.children("proxies").map(proxyOf);
  const limit = root.bytes("cacheLimit");
  if (limit !== undefined) settings.cacheLimit = limit;
  settings.retention = root.children("retention").map(ruleOf);
  settings.gc = gcOf(root.child("gc"));
  settings.webhooks = root.children("webhooks").map(webhookOf);
  const metrics = root.child("metrics");
  settings.metrics = { ...given("path", metrics?.text("path")), ...given("address", metrics?.text("address")) };
  return settings;
}

/** A proxy as a flag gives it: `PREFIX=URL`, credentials in the URL. */
export function parseProxyFlag(text: string): ProxySettings {
  const match = /^([^=]*)=(https?:\/\/.+)$/.exec(text);
  if (match === null)
    throw new LighterError("invalid", `Cannot use proxy "${text}": expected PREFIX=URL, as docker.io=https://registry-1.docker.io`);
  return proxyOf(new Fields({ prefix: match[1], url: match[2] }, "proxy"));
}

/** A bucket as a flag gives it: `s3://BUCKET/PREFIX?endpoint=URL&region=R&redirect=true`; the keys come from the environment. */
export function parseS3Flag(text: string): S3Settings {
  const url = URL.parse(text);
  if (url === null || url.protocol !== "s3:" || url.hostname === "")
    throw new LighterError("invalid", `Cannot use storage "${text}": expected s3://BUCKET/PREFIX?endpoint=URL`);
  const options = Object.fromEntries(url.searchParams) as Json;
  for (const flag of ["redirect", "virtualHostedStyle"]) if (flag in options) options[flag] = options[flag] === "true";
  return s3Of(new Fields({ ...options, bucket: url.hostname, prefix: url.pathname.slice(1) }, "s3"));
}

/** A webhook as a flag gives it: its address. */
export function parseWebhookFlag(url: string): WebhookSettings {
  return webhookOf(new Fields({ url }, "webhook"));
}

function s3Of(fields: Fields): S3Settings {
  return {
    bucket: fields.required("bucket"),
    prefix: (fields.text("prefix") ?? "").replace(/^\/+|\/+$/g, ""),
    virtualHostedStyle: fields.flag("virtualHostedStyle") ?? false,
    redirect: fields.flag("redirect") ?? false,
    partSize: Math.max(fields.bytes("partSize") ?? 16 << 20, 5 << 20),
    ...given("endpoint", fields.text("endpoint")),
    ...given("region", fields.text("region")),
    ...given("accessKeyId", fields.text("accessKeyId")),
    ...given("secretAccessKey", fields.text("secretAccessKey")),
  };
}

function proxyOf(fields: Fields): ProxySettings {
  const url = URL.parse(fields.required("url"));
  if (url === null || !/^https?:$/.test(url.protocol)) throw fields.wrong("url", "an HTTP address");
  const username = fields.text("username") ?? (url.username === "" ? undefined : decodeURIComponent(url.username));
  const password = fields.text("password") ?? (url.password === "" ? undefined : decodeURIComponent(url.password));
  return {
    prefix: (fields.text("prefix") ?? "").replace(/^\/+|\/+$/g, ""),
    url: url.origin + url.pathname.replace(/\/+$/, ""),
    insecure: fields.flag("insecure") ?? url.protocol === "http:",
    ttl: fields.duration("ttl") ?? 5 * 60_000,
    ...given("username", username),
    ...given("password", password),
  };
}

function ruleOf(fields: Fields): RetentionRule {
  const rule: RetentionRule = {
    repositories: fields.texts("repositories") ?? ["**"],
    tags: fields.texts("tags") ?? ["*"],
    protect: fields.texts("protect") ?? [],
    ...given("keepNewest", fields.count("keepNewest")),
    ...given("keepYounger", fields.duration("keepYounger")),
    ...given("keepPulled", fields.duration("keepPulled")),
  };
  if (rule.keepNewest === undefined && rule.keepYounger === undefined && rule.keepPulled === undefined)
    throw fields.wrong("keepNewest", "given, or keepYounger or keepPulled: a rule that keeps nothing would remove every tag");
  return rule;
}

function gcOf(fields: Fields | undefined): GcSettings {
  return {
    grace: fields?.duration("grace") ?? 24 * HOUR,
    ...given("interval", fields?.duration("interval")),
    ...given("untagged", fields?.duration("untagged")),
  };
}

function webhookOf(fields: Fields): WebhookSettings {
  const url = fields.required("url");
  if (URL.parse(url) === null) throw fields.wrong("url", "an HTTP address");
  return {
    name: fields.text("name") ?? url,
    url,
    headers: fields.textMap("headers") ?? {},
    actions: fields.texts("actions") ?? [],
    timeout: fields.duration("timeout") ?? 10_000,
  };
}

function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

/** An object of the configuration, whose keys are read by their kinds. */
class Fields {
  readonly #json: Json;
  readonly #path: string;

  constructor(json: unknown, path: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json))
      throw new LighterError("invalid", `Cannot use the configuration: "${path}" must be an object`);
    this.#json = json as Json;
    this.#path = path;
  }

  wrong(key: string, wanted: string): LighterError {
    return new LighterError("invalid", `Cannot use the configuration: "${this.#path}.${key}" must be ${wanted}`);
  }

  has(key: string): boolean {
    return this.#json[key] !== undefined;
  }

  text(key: string): string | undefined {
    return this.#of(key, "a string", (value) => typeof value === "string");
  }

  required(key: string): string {
    const value = this.text(key);
    if (value === undefined || value === "") throw this.wrong(key, "a string");
    return value;
  }

  flag(key: string): boolean | undefined {
    return this.#of(key, "true or false", (value) => typeof value === "boolean");
  }

  count(key: string): number | undefined {
    return this.#of(key, "a whole number", (value) => Number.isInteger(value) && (value as number) >= 0);
  }

  texts(key: string): string[] | undefined {
    return this.#of(key, "a list of strings", (value) => Array.isArray(value) && value.every((item) => typeof item === "string"));
  }

  textMap(key: string): Record<string, string> | undefined {
    const isMap = (value: unknown): boolean =>
      typeof value === "object" && value !== null && Object.values(value).every((item) => typeof item === "string");
    return this.#of(key, "an object of strings", isMap);
  }

  bytes(key: string): number | undefined {
    const value = this.#of<string | number>(key, "a size", (given) => typeof given === "string" || typeof given === "number");
    return typeof value === "string" ? parseBytes(value) : value;
  }

  duration(key: string): number | undefined {
    const text = this.text(key);
    return text === undefined ? undefined : (parseDuration(text) ?? this.#throw(key, "a duration as 30s, 24h or 7d"));
  }

  child(key: string): Fields | undefined {
    return this.has(key) ? new Fields(this.#json[key], `${this.#path}.${key}`) : undefined;
  }

  children(key: string): Fields[] {
    const list = this.#of<unknown[]>(key, "a list", Array.isArray) ?? [];
    return list.map((item, index) => new Fields(item, `${this.#path}.${key}[${index}]`));
  }

  #of<T>(key: string, wanted: string, fits: (value: unknown) => boolean): T | undefined {
    const value = this.#json[key];
    if (value !== undefined && !fits(value)) throw this.wrong(key, wanted);
    return value as T | undefined;
  }

  #throw(key: string, wanted: string): never {
    throw this.wrong(key, wanted);
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: HOUR, d: 24 * HOUR, w: 168 * HOUR };

/** Milliseconds of `90s`, `1h30m`, `7d`; undefined for any other text. */
export function parseDuration(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/.test(text)) return text === "0" ? 0 : undefined;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) sum += Number(amount) * (UNITS[unit ?? ""] ?? 0);
  return sum;
}
