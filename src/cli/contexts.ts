import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LighterError } from "../base/errors.ts";
import { parseEndpoint, type Endpoint, type TlsOptions } from "../client/endpoint.ts";

/** What docker keeps of a context in `contexts/meta/<sha256 of its name>/meta.json`. */
export interface Context {
  Name: string;
  Metadata: { Description?: string };
  Endpoints: { docker?: { Host?: string; SkipTLSVerify?: boolean } };
}

function idOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
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
