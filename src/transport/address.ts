import { LighterError } from "../base/errors.ts";

/** Certificates for a TLS listener: PEM texts. With `ca`, clients must show a certificate of it. */
export interface TlsOptions {
  cert: string;
  key: string;
  ca?: string;
}

/** Where a door is; a passed one is a descriptor of this process that listens already. */
export type Address =
  | { kind: "unix"; path: string }
  | { kind: "tcp"; hostname: string; port: number; tls?: TlsOptions }
  | { kind: "passed"; fd: number; port?: number; tls?: TlsOptions };

/** Sockets that somebody passes: all, the one with a descriptor's number, or those with a name. */
export interface PassedAddress {
  kind: "fd";
  which: string;
}

/** What {@link parseAddress} goes by. */
export interface AddressRules {
  tls?: TlsOptions;
  plainTcp?: boolean;
}

/**
 * Parses a `-H` of the daemon: `unix:///run/lighter/lighter.sock` (or an absolute path), `tcp://127.0.0.1:2375`, `fd://`, `fd://3` and `fd://NAME`. Plain TCP on anything but loopback is refused unless
 * `plainTcp` allows it. Throws `invalid`.
 */
export function parseAddress(text: string, rules: AddressRules = {}): Address | PassedAddress {
  if (text.startsWith("/")) return { kind: "unix", path: text };
  const [, scheme, rest = ""] = /^([a-z]+):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === "unix" && rest !== "") return { kind: "unix", path: rest };
  if (scheme === "fd") return { kind: "fd", which: rest === "*" ? "" : rest };
  if (scheme !== "tcp") throw new LighterError("invalid", `Cannot listen on "${text}": expected unix:///path, tcp://host:port or fd://`);
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/]*))(?::(\d{1,5}))?\/?$/.exec(rest) ?? [];
  if ((bracketed === undefined && plain === undefined) || Number(port ?? 0) > 65535)
    throw new LighterError("invalid", `Cannot listen on "${text}": expected tcp://host:port`);
  const hostname = bracketed ?? (plain === "" ? "127.0.0.1" : (plain as string));
  const { tls } = rules;
  checkPlain(text, hostname, rules);
  const number = port === undefined ? (tls === undefined ? 2375 : 2376) : Number(port);
  return tls === undefined ? { kind: "tcp", hostname, port: number } : { kind: "tcp", hostname, port: number, tls };
}

/** Throws `invalid` for TCP without TLS that reaches beyond this host, where nobody insists on it. */
export function checkPlain(text: string, hostname: string, { tls, plainTcp = false }: AddressRules): void {
  if (tls !== undefined || plainTcp || isLoopback(hostname)) return;
  throw new LighterError(
    "invalid",
    `Cannot listen on "${text}": without TLS whoever reaches this port is root here; make certificates with "lighter tls init" or insist with --tls=false`,
  );
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
