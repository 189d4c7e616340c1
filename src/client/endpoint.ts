import { LighterError } from "../base/errors.ts";

/** Certificates for TLS, in PEM; `verify: false` takes any server certificate. */
export interface TlsOptions {
  ca?: string;
  cert?: string;
  key?: string;
  verify: boolean;
}

/** Where a daemon listens. */
export type Endpoint =
  | { kind: "unix"; path: string; text: string }
  | { kind: "tcp"; host: string; port: number; prefix: string; tls?: TlsOptions; text: string }
  | { kind: "ssh"; host: string; user?: string; port?: string; socket?: string; text: string };

const DEFAULT_PORT = { plain: 2375, tls: 2376 };

/**
 * Parses a `-H` or DOCKER_HOST value: `unix:///path`, `tcp://host[:port][/prefix]`, `http(s)://...`, `ssh://[user@]host[:port][/socket]`.
 * Throws `invalid` for anything else.
 */
export function parseEndpoint(text: string, tls?: TlsOptions): Endpoint {
  const at = text.indexOf("://");
  if (at < 0) throw new LighterError("invalid", `unable to parse docker host "${text}"`);
  const scheme = text.slice(0, at);
  const rest = text.slice(at + 3);
  if (scheme === "unix") return { kind: "unix", path: rest === "" ? "/var/run/docker.sock" : rest, text };
  if (scheme === "ssh") return parseSsh(text);
  if (scheme === "tcp" || scheme === "http" || scheme === "https") {
    const secure = tls ?? (scheme === "https" ? { verify: true } : undefined);
    return parseTcp(text, rest, secure);
  }
  throw new LighterError("invalid", `unable to parse docker host "${text}": protocol "${scheme}" is not supported`);
}

function parseTcp(text: string, rest: string, tls: TlsOptions | undefined): Endpoint {
  const match = /^(\[[^\]]+\]|[^:/]*)(?::(\d+))?(\/.*)?$/.exec(rest);
  if (!match) throw new LighterError("invalid", `unable to parse docker host "${text}"`);
  const port = match[2] === undefined ? (tls ? DEFAULT_PORT.tls : DEFAULT_PORT.plain) : Number(match[2]);
  const prefix = (match[3] ?? "").replace(/\/+$/, "");
  const host = match[1] === undefined || match[1] === "" ? "127.0.0.1" : match[1];
  return { kind: "tcp", host, port, prefix, ...(tls && { tls }), text };
}

function parseSsh(text: string): Endpoint {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new LighterError("invalid", `unable to parse docker host "${text}"`);
  }
  if (url.hostname === "") throw new LighterError("invalid", `ssh host connection is not valid: no host specified`);
  if (url.password !== "") throw new LighterError("invalid", `ssh host connection is not valid: plain-text password is not supported`);
  const socket = url.pathname === "" || url.pathname === "/" ? undefined : url.pathname;
  return {
    kind: "ssh",
    host: url.hostname,
    ...(url.username !== "" && { user: url.username }),
    ...(url.port !== "" && { port: url.port }),
    ...(socket !== undefined && { socket }),
    text,
  };
}
