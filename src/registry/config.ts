import { LighterError } from "../base/errors.ts";

/** How a registry is opened to the network and who may do what; the keys of `lighter registry serve --config` and of `registry` in daemon.json. */
export interface RegistryConfig {
  /** `HOST:PORT` each. */
  addresses: string[];
  /** TLS with these files, or with a certificate made here. */
  tls: { cert?: string; key?: string; clientCa?: string } | undefined;
  /** Other addresses than loopback may go without TLS. */
  plain: boolean;
  auth: AuthConfig;
  readOnly: boolean;
  noDelete: boolean;
  /** At most so many requests of an address in so many seconds. */
  rateLimit: { requests: number; seconds: number } | undefined;
  /** The other keys: storage, cache and care of what is kept have readers of their own. */
  rest: Record<string, unknown>;
}

/** Who signs in how. */
export interface AuthConfig {
  /** Path of a password file. */
  htpasswd?: string;
  /** Path of a rights file. */
  rights?: string;
  /** True: tokens made here for the users of the password file. Else those of a token server. */
  tokens?: true | TokenServer;
}

/** A token server and how to know its tokens, in the words of docker's registry. https://distribution.github.io/distribution/about/configuration/#token */
export interface TokenServer {
  realm: string;
  service: string;
  issuer: string;
  /** Path of PEM certificates: a token's key is one of theirs, or has a certificate signed by one. */
  rootcertbundle?: string;
  /** Path of a JSON Web Key Set. */
  jwks?: string;
}

/** A registry on the loopback, open to everybody. */
export const DEFAULT_REGISTRY: RegistryConfig = {
  addresses: ["127.0.0.1:5000"],
  tls: undefined,
  plain: false,
  auth: {},
  readOnly: false,
  noDelete: false,
  rateLimit: undefined,
  rest: {},
};

type Json = Record<string, unknown>;

/** Reads the settings of a registry. Throws `invalid` naming the key that is wrong; `where` is the file they stand in. */
export function parseRegistryConfig(value: unknown, where: string): RegistryConfig {
  const {
    addr,
    tls,
    auth,
    "read-only": readOnly,
    "no-delete": noDelete,
    "rate-limit": rateLimit,
    ...rest
  } = objectOf(value, "registry", where);
  const config: RegistryConfig = { ...DEFAULT_REGISTRY, rest };
  if (addr !== undefined)
    config.addresses = Array.isArray(addr) ? addr.map((each) => textOf(each, "addr", where)) : [textOf(addr, "addr", where)];
  if (tls === false) config.plain = true;
  else if (tls !== undefined) config.tls = tls === true ? {} : tlsOf(objectOf(tls, "tls", where), where);
  if (auth !== undefined) config.auth = authOf(objectOf(auth, "auth", where), where);
  if (readOnly !== undefined) config.readOnly = boolOf(readOnly, "read-only", where);
  if (noDelete !== undefined) config.noDelete = boolOf(noDelete, "no-delete", where);
  if (rateLimit !== undefined) config.rateLimit = rateOf(objectOf(rateLimit, "rate-limit", where), where);
  return config;
}

function tlsOf({ cert, key, clientca, ...others }: Json, where: string): NonNullable<RegistryConfig["tls"]> {
  refuseOthers(others, "tls", where);
  return {
    ...(cert !== undefined && { cert: textOf(cert, "tls.cert", where) }),
    ...(key !== undefined && { key: textOf(key, "tls.key", where) }),
    ...(clientca !== undefined && { clientCa: textOf(clientca, "tls.clientca", where) }),
  };
}

function authOf({ htpasswd, rights, tokens, ...others }: Json, where: string): AuthConfig {
  refuseOthers(others, "auth", where);
  return {
    ...(htpasswd !== undefined && { htpasswd: textOf(htpasswd, "auth.htpasswd", where) }),
    ...(rights !== undefined && { rights: textOf(rights, "auth.rights", where) }),
    ...(tokens !== undefined &&
      tokens !== false && { tokens: tokens === true ? (true as const) : serverOf(objectOf(tokens, "auth.tokens", where), where) }),
  };
}

function serverOf({ realm, service, issuer, rootcertbundle, jwks, ...others }: Json, where: string): TokenServer {
  refuseOthers(others, "auth.tokens", where);
  if (rootcertbundle === undefined && jwks === undefined)
    throw wrong("auth.tokens", 'with "rootcertbundle" or "jwks", the keys of the server', where);
  return {
    realm: textOf(realm, "auth.tokens.realm", where),
    service: textOf(service, "auth.tokens.service", where),
    issuer: textOf(issuer, "auth.tokens.issuer", where),
    ...(rootcertbundle !== undefined && { rootcertbundle: textOf(rootcertbundle, "auth.tokens.rootcertbundle", where) }),
    ...(jwks !== undefined && { jwks: textOf(jwks, "auth.tokens.jwks", where) }),
  };
}

function rateOf({ requests, seconds, ...others }: Json, where: string): NonNullable<RegistryConfig["rateLimit"]> {
  refuseOthers(others, "rate-limit", where);
  if (!isPositive(requests) || !isPositive(seconds)) throw wrong("rate-limit", '{"requests": N, "seconds": N}', where);
  return { requests, seconds };
}

function isPositive(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value > 0;
}

function objectOf(value: unknown, key: string, where: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(key, "an object", where);
  return value as Json;
}

function textOf(value: unknown, key: string, where: string): string {
  if (typeof value !== "string" || value === "") throw wrong(key, "a string", where);
  return value;
}

function boolOf(value: unknown, key: string, where: string): boolean {
  if (typeof value !== "boolean") throw wrong(key, "true or false", where);
  return value;
}

function refuseOthers(others: Json, key: string, where: string): void {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new LighterError("invalid", `Cannot use "${where}": unknown key "${key}.${unknown}" of the registry`);
}

function wrong(key: string, wanted: string, where: string): LighterError {
  return new LighterError("invalid", `Cannot use "${where}": "${key}" of the registry must be ${wanted}`);
}
