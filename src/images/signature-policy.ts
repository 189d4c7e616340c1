import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import { DEFAULT_REGISTRY, type Reference } from "../base/reference.ts";
import { parsePublicKey, type VerificationKey } from "./public-key.ts";

/** What happens to an image without a good signature: refused, pulled with a warning, or not looked at. */
export type VerifyMode = "required" | "warn" | "off";

/** What holds for an image: how strictly it is looked at, and whose signatures count. */
export interface VerifyRule {
  mode: VerifyMode;
  keys: VerificationKey[];
  /** The signature must also name the repository that is pulled from, not only the content. */
  identity: boolean;
  /** Where the rule stands, for messages. */
  source: string;
}

interface PolicyRule {
  images: string[];
  mode: VerifyMode;
  keys: string[];
  identity: boolean;
}

interface Policy {
  default: VerifyMode;
  rules: PolicyRule[];
}

const MODES: ReadonlySet<unknown> = new Set(["required", "warn", "off"]);
/** Hosts that all are Docker Hub. */
const HUB: ReadonlySet<string> = new Set([DEFAULT_REGISTRY, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);
const KNOWN = new Set(["default", "rules"]);
const KNOWN_IN_RULE = new Set(["images", "mode", "keys", "identity"]);

/**
 * The rule of a policy file for an image; undefined where none looks at it. The file is read each time: a change holds from the next pull on.
 * Throws `invalid` for a file, or a key it names, that cannot be used: nothing is pulled then.
 * @param required the file was named in the configuration: without it, nothing is pulled either
 */
export async function policyFor(path: string, reference: Reference, { required }: { required: boolean }): Promise<VerifyRule | undefined> {
  const policy = await readPolicy(path, required);
  if (policy === undefined) return undefined;
  const name = `${reference.registry}/${reference.repository}`;
  const rule = policy.rules.find(({ images }) =>
    images.some((pattern) => matches(pattern, name) || matches(oneSpelling(pattern), oneSpelling(name))),
  );
  const mode = rule?.mode ?? policy.default;
  if (mode === "off") return undefined;
  const keys = await Promise.all((rule?.keys ?? []).map((key) => readKey(key, path)));
  return { mode, keys, identity: rule?.identity ?? false, source: `the policy ${path}` };
}

async function readPolicy(path: string, required: boolean): Promise<Policy | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (!required && (cause as { code?: unknown }).code === "ENOENT") return undefined;
    throw broken(path, messageOf(cause), cause);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw broken(path, messageOf(cause), cause);
  }
  return parsePolicy(json, path);
}

/** Checks the shape of a policy; throws `invalid` and names what is wrong. */
export function parsePolicy(json: unknown, path: string): Policy {
  if (!isObject(json)) throw broken(path, "expected an object");
  for (const key of Object.keys(json)) if (!KNOWN.has(key)) throw broken(path, `unknown key "${key}"`);
  const { default: fallback = "off", rules = [] } = json;
  if (!MODES.has(fallback)) throw broken(path, `"default" must be required, warn or off`);
  if (!Array.isArray(rules)) throw broken(path, `"rules" must be a list`);
  return { default: fallback as VerifyMode, rules: rules.map((rule, index) => parseRule(rule, `rules[${index}]`, path)) };
}

function parseRule(rule: unknown, where: string, path: string): PolicyRule {
  if (!isObject(rule)) throw broken(path, `"${where}" must be an object`);
  for (const key of Object.keys(rule)) if (!KNOWN_IN_RULE.has(key)) throw broken(path, `unknown key "${key}" in "${where}"`);
  const { mode = "required", keys = [], identity = false } = rule;
  const images: unknown = typeof rule["images"] === "string" ? [rule["images"]] : rule["images"];
  if (!isTexts(images) || images.length === 0) throw broken(path, `"${where}.images" must be a pattern or a list of patterns`);
  if (!MODES.has(mode)) throw broken(path, `"${where}.mode" must be required, warn or off`);
  if (!isTexts(keys)) throw broken(path, `"${where}.keys" must be a list of files or of PEM texts`);
  if (mode === "required" && keys.length === 0) throw broken(path, `"${where}" requires signatures, but names no keys`);
  if (typeof identity !== "boolean") throw broken(path, `"${where}.identity" must be true or false`);
  return { images, mode: mode as VerifyMode, keys, identity };
}

/** A key by its file (from the policy's folder on) or as PEM. */
async function readKey(key: string, path: string): Promise<VerificationKey> {
  if (key.trimStart().startsWith("-----BEGIN")) return parsePublicKey(key, "a key in the policy");
  const file = resolve(dirname(path), key);
  const pem = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new LighterError("invalid", `Cannot use the key "${file}": ${messageOf(cause)}`, { cause });
  });
  return parsePublicKey(pem, file);
}

/** A name, or a pattern of names, with the one spelling of its host: a registry is not another one by capitals, the port of https or an alias. */
export function oneSpelling(name: string): string {
  const slash = name.indexOf("/");
  if (slash < 0) return name;
  const written = name.slice(0, slash);
  const url = `https://${written}`;
  const host = written.includes("*") || !URL.canParse(url) ? written.toLowerCase() : new URL(url).host;
  return `${HUB.has(host) ? DEFAULT_REGISTRY : host}${name.slice(slash)}`;
}

/** Whether a pattern means a repository, spelled with its registry: `*` stays within a part between slashes, `**` does not. */
export function matches(pattern: string, name: string): boolean {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map((part) => (part === "**" ? ".*" : part === "*" ? "[^/]*" : part.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")))
    .join("");
  return new RegExp(`^${source}$`, "u").test(name);
}

function broken(path: string, why: string, cause?: unknown): LighterError {
  return new LighterError("invalid", `Cannot use the signature policy "${path}": ${why}`, { cause });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");
}
