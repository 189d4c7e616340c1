import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { parseEndpoint, type Endpoint, type TlsOptions } from "../client/endpoint.ts";

/** What docker keeps of a context in `contexts/meta/<sha256 of its name>/meta.json`. */
export interface Context {
  Name: string;
  Metadata: { Description?: string };
  Endpoints: { docker?: { Host?: string; SkipTLSVerify: boolean } };
}

/** The TLS files of a context by their names: `ca.pem`, `cert.pem`, `key.pem`. */
export type TlsFiles = Record<string, Uint8Array>;

function idOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

/** The folders that docker keeps a context in. */
export function contextFolders(folder: string, name: string): { meta: string; tls: string } {
  return { meta: join(folder, "contexts", "meta", idOf(name)), tls: join(folder, "contexts", "tls", idOf(name)) };
}

/** Whether there is a context of this name. */
export function hasContext(folder: string, name: string): boolean {
  return existsSync(join(contextFolders(folder, name).meta, "meta.json"));
}

/** Writes a context in place of one of the same name; TLS files that are not given are removed. */
export function writeContext(folder: string, context: Context, tls: TlsFiles): void {
  const { meta, tls: certs } = contextFolders(folder, context.Name);
  rmSync(certs, { recursive: true, force: true });
  for (const [name, bytes] of Object.entries(tls)) {
    mkdirSync(join(certs, "docker"), { recursive: true, mode: 0o700 });
    writeFileSync(join(certs, "docker", name), bytes, { mode: 0o600 });
  }
  mkdirSync(meta, { recursive: true, mode: 0o755 });
  const draft = join(meta, `meta.json.${process.pid}`);
  writeFileSync(draft, JSON.stringify(context), { mode: 0o644 });
  renameSync(draft, join(meta, "meta.json"));
}

/** Removes a context and its TLS files. */
export function removeContext(folder: string, name: string): void {
  const { meta, tls } = contextFolders(folder, name);
  rmSync(meta, { recursive: true, force: true });
  rmSync(tls, { recursive: true, force: true });
}

/** The TLS files of a context. */
export function readTls(folder: string, name: string): TlsFiles {
  const certs = join(contextFolders(folder, name).tls, "docker");
  if (!existsSync(certs)) return {};
  return Object.fromEntries(
    readdirSync(certs)
      .sort()
      .map((file) => [file, new Uint8Array(readFileSync(join(certs, file)))]),
  );
}

/** Reads a context by its name. Throws `not-found` with docker's text. */
export function readContext(folder: string, name: string): Context {
  const path = join(folder, "contexts", "meta", idOf(name), "meta.json");
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Context;
  } catch (error) {
    throw new LighterError("not-found", `context ${JSON.stringify(name)}: context not found: open ${path}: no such file or directory`, {
      cause: error,
    });
  }
}

/** All contexts, by name. */
export function listContexts(folder: string): Context[] {
  const meta = join(folder, "contexts", "meta");
  let ids: string[];
  try {
    ids = readdirSync(meta);
  } catch {
    return [];
  }
  return ids
    .filter((id) => existsSync(join(meta, id, "meta.json")))
    .map((id) => JSON.parse(readFileSync(join(meta, id, "meta.json"), "utf8")) as Context)
    .sort((a, b) => (a.Name < b.Name ? -1 : 1));
}

/** The daemon that a context stands for, with its certificates. */
export function contextEndpoint(folder: string, name: string): Endpoint {
  let context: Context;
  try {
    context = readContext(folder, name);
  } catch (error) {
    throw new LighterError("not-found", `Failed to initialize: unable to resolve docker endpoint: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const { Host = "", SkipTLSVerify = false } = context.Endpoints.docker ?? {};
  return parseEndpoint(Host, contextTls(folder, name, !SkipTLSVerify));
}

function contextTls(folder: string, name: string, verify: boolean): TlsOptions | undefined {
  const certs = join(folder, "contexts", "tls", idOf(name), "docker");
  const read = (file: string): string | undefined => {
    try {
      return readFileSync(join(certs, file), "utf8");
    } catch {
      return undefined;
    }
  };
  const [ca, cert, key] = [read("ca.pem"), read("cert.pem"), read("key.pem")];
  if (ca === undefined && cert === undefined && key === undefined) return undefined;
  return { verify, ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
}
