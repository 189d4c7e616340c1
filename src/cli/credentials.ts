import { LighterError, messageOf } from "../base/errors.ts";
import type { App } from "./app.ts";
import { saveConfig, type ConfigFile } from "./config-file.ts";

/** A login at a registry. */
export interface Credentials {
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
  serveraddress: string;
}

/** Under this key docker keeps the login of Docker Hub. */
export const HUB_KEY = "https://index.docker.io/v1/";

/** The user name by which helpers mark an identity token. */
const TOKEN_USER = "<token>";

/** The key of a registry in `auths`: Docker Hub has one of its own. */
export function authKey(registry: string): string {
  return registry === "docker.io" || registry === "index.docker.io" ? HUB_KEY : registry;
}

/** The login kept for a registry (a host or `docker.io`); undefined when there is none. */
export async function credentialsFor(app: App, registry: string): Promise<Credentials | undefined> {
  const { config } = app;
  const key = authKey(registry);
  const helper = config.credHelpers?.[key] ?? config.credHelpers?.[registry] ?? config.credsStore;
  const found = helper === undefined || helper === "" ? undefined : await tryHelper(app, helper, key);
  return found ?? fromFile(config, key);
}

/** What needs no login goes on without the helper. */
async function tryHelper(app: App, helper: string, key: string): Promise<Credentials | undefined> {
  try {
    return await askHelper(helper, key);
  } catch (error) {
    app.err(`WARNING: Unable to retrieve stored credentials for ${key}: ${messageOf(error)}\n`);
    return undefined;
  }
}

/** The `X-Registry-Auth` header for a registry; undefined without a login. */
export async function registryAuth(app: App, registry: string): Promise<string | undefined> {
  const found = await credentialsFor(app, registry);
  return found && encodeAuth(found);
}

/** A login as the API's header carries it: URL-safe base64 of JSON, padded. */
export function encodeAuth(credentials: Credentials): string {
  return Buffer.from(JSON.stringify(credentials)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}

function fromFile(config: ConfigFile, key: string): Credentials | undefined {
  const name = Object.keys(config.auths ?? {}).find((one) => one === key || hostOf(one) === hostOf(key));
  const stored = name === undefined ? undefined : config.auths?.[name];
  if (!stored) return undefined;
  const { username: plain = "", password: secret = "" } = stored;
  const [username, password] = stored.auth ? splitAuth(stored.auth) : [plain, secret];
  if (username === "" && !stored.identitytoken && !stored.registrytoken) return undefined;
  return {
    ...(username !== "" && { username, password }),
    ...(stored.identitytoken && { identitytoken: stored.identitytoken }),
    ...(stored.registrytoken && { registrytoken: stored.registrytoken }),
    serveraddress: key,
  };
}

/** `https://host/v1/` and `host` are the same registry. */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

function splitAuth(auth: string): [string, string] {
  const text = Buffer.from(auth, "base64").toString().replace(/\0+$/, "");
  const at = text.indexOf(":");
  return at < 0 ? ["", ""] : [text.slice(0, at), text.slice(at + 1)];
}

const ACTS = {
  get: "error getting credentials",
  store: "error storing credentials",
  erase: "error erasing credentials",
} as const;

async function runHelper(helper: string, verb: "get" | "store" | "erase", input: string): Promise<string | undefined> {
  const program = `docker-credential-${helper}`;
  const path = Bun.which(program, { PATH: process.env["PATH"] ?? "" });
  if (path === null) {
    throw new LighterError("invalid", `${ACTS[verb]} - err: exec: "${program}": executable file not found in $PATH, out: \`\``);
  }
  const child = Bun.spawn([path, verb], { stdin: new Blob([input]), stdout: "pipe", stderr: "inherit", env: process.env });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) === 0) return text;
  if (/credentials not found/i.test(text)) return undefined;
  throw new LighterError("invalid", `${ACTS[verb]} - err: exit status ${child.exitCode}, out: \`${text.trim()}\``);
}

async function askHelper(helper: string, key: string): Promise<Credentials | undefined> {
  const text = await runHelper(helper, "get", key);
  if (text === undefined) return undefined;
  const { Username = "", Secret = "" } = JSON.parse(text) as { Username?: string; Secret?: string };
  if (Username === "" && Secret === "") return undefined;
  return Username === TOKEN_USER
    ? { identitytoken: Secret, serveraddress: key }
    : { username: Username, password: Secret, serveraddress: key };
}

/** Keeps a login: with the helper that the configuration names, else in the file. Returns where it went: a helper's name, or the file's path. */
export async function storeCredentials(app: App, credentials: Credentials): Promise<{ helper?: string }> {
  const { config } = app;
  const key = credentials.serveraddress;
  const helper = config.credHelpers?.[key] ?? config.credsStore;
  if (helper !== undefined && helper !== "") {
    const Username = credentials.identitytoken ? TOKEN_USER : (credentials.username ?? "");
    const login = { ServerURL: key, Username, Secret: credentials.identitytoken ?? credentials.password ?? "" };
    await runHelper(helper, "store", JSON.stringify(login)).catch((cause: unknown) => {
      throw new LighterError("invalid", `Error saving credentials: ${messageOf(cause)}`, { cause });
    });
    saveConfig(app.folder, { ...config, auths: { ...config.auths, [key]: {} } });
    return { helper };
  }
  const auth = Buffer.from(`${credentials.username ?? ""}:${credentials.identitytoken ? "" : (credentials.password ?? "")}`).toString(
    "base64",
  );
  const entry = { auth, ...(credentials.identitytoken && { identitytoken: credentials.identitytoken }) };
  saveConfig(app.folder, { ...config, auths: { ...config.auths, [key]: entry } });
  return {};
}

/** Forgets a login, under each way to spell the registry. What a helper cannot do is returned, the file's part is done all the same. */
export async function eraseCredentials(app: App, key: string): Promise<Record<string, string>> {
  const { config } = app;
  const spellings = key === HUB_KEY ? [key] : [key, `http://${key}`, `https://${key}`];
  const failures: Record<string, string> = {};
  for (const spelling of spellings) {
    const helper = config.credHelpers?.[spelling] ?? config.credsStore;
    if (helper === undefined || helper === "") continue;
    await runHelper(helper, "erase", spelling).catch((error: unknown) => (failures[spelling] = messageOf(error)));
  }
  const kept = Object.entries(config.auths ?? {}).filter(([name]) => !spellings.includes(name));
  if (kept.length < Object.keys(config.auths ?? {}).length) saveConfig(app.folder, { ...config, auths: Object.fromEntries(kept) });
  return failures;
}
