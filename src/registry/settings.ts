import { LighterError } from "../base/errors.ts";
import { Fields } from "./settings-fields.ts";

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

/** Reads the registry's storage settings of a configuration file. Throws `invalid` with a sentence that names the key. */
export function parseSettings(json: unknown): Settings {
  const root = new Fields(json, "registry");
  root.only(["storage", "proxies", "cache-limit", "retention", "gc", "webhooks", "metrics"]);
  const settings = defaultSettings();
  const storage = root.child("storage");
  if (storage?.has("s3")) settings.s3 = s3Of(storage.child("s3") as Fields);
  settings.proxies = root.children("proxies").map(proxyOf);
  const limit = root.bytes("cache-limit");
  if (limit !== undefined) settings.cacheLimit = limit;
  settings.retention = root.children("retention").map(ruleOf);
  settings.gc = gcOf(root.child("gc"));
  settings.webhooks = root.children("webhooks").map(webhookOf);
  const metrics = root.child("metrics");
  settings.metrics = { ...given("path", metrics?.text("path")), ...given("address", metrics?.text("address")) };
  return settings;
}

/** What flags say over a configuration file. */
export interface SettingsFlags {
  s3: string;
  proxy: readonly string[];
  webhook: readonly string[];
  "metrics-addr": string;
  /** Nanoseconds; 0 for none. */
  "gc-interval": number;
  /** Bytes; 0 for none. */
  "cache-limit": number;
}

/** The settings of a file, and what flags add. */
export function withFlags(settings: Settings, flags: SettingsFlags): Settings {
  return {
    ...settings,
    ...(flags.s3 !== "" && { s3: parseS3Flag(flags.s3) }),
    ...(flags["cache-limit"] > 0 && { cacheLimit: flags["cache-limit"] }),
    proxies: [...settings.proxies, ...flags.proxy.map(parseProxyFlag)],
    webhooks: [...settings.webhooks, ...flags.webhook.map(parseWebhookFlag)],
    metrics: { ...settings.metrics, ...(flags["metrics-addr"] !== "" && { address: flags["metrics-addr"] }) },
    gc: { ...settings.gc, ...(flags["gc-interval"] > 0 && { interval: flags["gc-interval"] / 1e6 }) },
  };
}

/** A proxy as a flag gives it: `PREFIX=URL`, credentials in the URL. */
function parseProxyFlag(text: string): ProxySettings {
  const match = /^([^=]*)=(https?:\/\/.+)$/.exec(text);
  if (match === null)
    throw new LighterError("invalid", `Cannot use proxy "${text}": expected PREFIX=URL, as docker.io=https://registry-1.docker.io`);
  return proxyOf(new Fields({ prefix: match[1], url: match[2] }, "proxy"));
}

/** A bucket as a flag gives it: `s3://BUCKET/PREFIX?endpoint=URL&region=R&redirect=true`; the keys come from the environment. */
function parseS3Flag(text: string): S3Settings {
  const url = URL.parse(text);
  if (url === null || url.protocol !== "s3:" || url.hostname === "")
    throw new LighterError("invalid", `Cannot use storage "${text}": expected s3://BUCKET/PREFIX?endpoint=URL`);
  const options = Object.fromEntries(url.searchParams) as Record<string, unknown>;
  for (const flag of ["redirect", "virtual-hosted-style"]) if (flag in options) options[flag] = options[flag] === "true";
  return s3Of(new Fields({ ...options, bucket: url.hostname, prefix: url.pathname.slice(1) }, "s3"));
}

/** A webhook as a flag gives it: its address. */
function parseWebhookFlag(url: string): WebhookSettings {
  return webhookOf(new Fields({ url }, "webhook"));
}

function s3Of(fields: Fields): S3Settings {
  fields.only(["bucket", "prefix", "virtual-hosted-style", "redirect", "part-size", "endpoint", "region", "access-key", "secret-key"]);
  return {
    bucket: fields.required("bucket"),
    prefix: (fields.text("prefix") ?? "").replace(/^\/+|\/+$/g, ""),
    virtualHostedStyle: fields.flag("virtual-hosted-style") ?? false,
    redirect: fields.flag("redirect") ?? false,
    partSize: Math.max(fields.bytes("part-size") ?? 16 << 20, 5 << 20),
    ...given("endpoint", fields.text("endpoint")),
    ...given("region", fields.text("region")),
    ...given("accessKeyId", fields.text("access-key")),
    ...given("secretAccessKey", fields.text("secret-key")),
  };
}

function proxyOf(fields: Fields): ProxySettings {
  fields.only(["prefix", "url", "username", "password", "insecure", "ttl"]);
  const url = httpAddressOf(fields);
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
  fields.only(["repositories", "tags", "protect", "keep-newest", "keep-younger", "keep-pulled"]);
  const rule: RetentionRule = {
    repositories: fields.texts("repositories") ?? ["**"],
    tags: fields.texts("tags") ?? ["*"],
    protect: fields.texts("protect") ?? [],
    ...given("keepNewest", fields.count("keep-newest")),
    ...given("keepYounger", fields.duration("keep-younger")),
    ...given("keepPulled", fields.duration("keep-pulled")),
  };
  if (rule.keepNewest === undefined && rule.keepYounger === undefined && rule.keepPulled === undefined)
    throw fields.wrong("keep-newest", "given, or keep-younger or keep-pulled: a rule that keeps nothing would remove every tag");
  return rule;
}

function gcOf(fields: Fields | undefined): GcSettings {
  fields?.only(["interval", "grace", "untagged"]);
  return {
    grace: fields?.duration("grace") ?? 24 * HOUR,
    ...given("interval", fields?.duration("interval")),
    ...given("untagged", fields?.duration("untagged")),
  };
}

/** Where `url` leads. Throws `invalid` for what is not HTTP. */
function httpAddressOf(fields: Fields): URL {
  const url = URL.parse(fields.required("url"));
  if (url === null || !/^https?:$/.test(url.protocol)) throw fields.wrong("url", "an HTTP address");
  return url;
}

function webhookOf(fields: Fields): WebhookSettings {
  fields.only(["name", "url", "headers", "actions", "timeout"]);
  httpAddressOf(fields);
  const url = fields.required("url");
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
