import { readFileSync } from "node:fs";
import { LighterError, messageOf } from "../base/errors.ts";
import type { App } from "./app.ts";
import { anyContext } from "./context-default.ts";
import type { Context, TlsFiles } from "./contexts.ts";
import { csvFields } from "./csv.ts";
import type { Flag } from "./flags.ts";

/** A daemon as `--docker` describes it. */
export interface DockerEndpoint {
  endpoint: NonNullable<Context["Endpoints"]["docker"]>;
  tls: TlsFiles;
}

const KEYS = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];

/** `--docker host=...,ca=...,cert=...,key=...,skip-tls-verify=...` or `--docker from=CONTEXT`. */
export function dockerFlag(help: string): Flag<Record<string, string>> {
  return {
    type: "stringToString",
    help,
    shown: "[]",
    initial: {},
    take(text, before) {
      const parts = csvFields(text).map((part) => {
        const at = part.indexOf("=");
        if (at < 0) throw new LighterError("invalid", `${part} must be formatted as key=value`);
        return [part.slice(0, at), part.slice(at + 1)] as const;
      });
      return { ...before, ...Object.fromEntries(parts) };
    },
  };
}

/** The endpoint that the flag's keys describe, with the certificates it names read. Throws `invalid` and `not-found`. */
export function dockerEndpoint(app: App, keys: Record<string, string>): DockerEndpoint {
  const unknown = Object.keys(keys).filter((key) => !KEYS.includes(key));
  if (unknown.length > 0) throw new LighterError("invalid", `unrecognized config key: ${unknown.join(", ")}`);
  if (keys["from"] !== undefined) {
    const { context, tls } = anyContext(app, keys["from"]);
    if (!context.Endpoints.docker) throw new LighterError("invalid", `unable to get endpoint from context ${JSON.stringify(keys["from"])}`);
    return { endpoint: context.Endpoints.docker, tls };
  }
  const endpoint = { Host: keys["host"] ?? "", SkipTLSVerify: parseSkip(keys["skip-tls-verify"]) };
  const tls: TlsFiles = {};
  for (const key of ["ca", "cert", "key"]) if (keys[key]) tls[`${key}.pem`] = readCertificate(keys[key]);
  return { endpoint, tls };
}

function parseSkip(text: string | undefined): boolean {
  if (text === undefined || ["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  throw new LighterError("invalid", `skip-tls-verify: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function readCertificate(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    const missing = (error as { code?: string }).code === "ENOENT";
    throw new LighterError("invalid", `open ${path}: ${missing ? "no such file or directory" : messageOf(error)}`, { cause: error });
  }
}
