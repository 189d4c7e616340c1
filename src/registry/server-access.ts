import { X509Certificate, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWTHeaderParameters, type JWTPayload, type JWTVerifyGetKey } from "jose";
import { LighterError, messageOf } from "../base/errors.ts";
import type { Access, Rejection } from "./access.ts";
import { bearerOf, challenge, grantsAllow, grantsOf, mayByGrants } from "./bearer.ts";
import type { TokenServer } from "./config.ts";
import { keyIds } from "./key-ids.ts";

/** Clocks of two machines may differ by so much, in seconds. */
const LEEWAY = 60;

const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

type Verifier = (token: string) => Promise<JWTPayload>;

/** Takes the tokens of a token server. https://distribution.github.io/distribution/spec/auth/token/ */
export async function serverAccess(server: TokenServer): Promise<Access> {
  const verify = await verifierOf(server);
  return {
    async admit(request, scope) {
      const token = bearerOf(request);
      if (token === undefined) return { rejection: challenge(server, scope) };
      const claims = await verify(token).catch(() => undefined);
      if (claims === undefined) return { rejection: challenge(server, scope, "invalid_token") };
      const grants = grantsOf(claims["access"]);
      if (scope !== undefined && !grantsAllow(grants, scope)) return { rejection: challenge(server, scope, "insufficient_scope") };
      const may = (repository: string, action: "pull" | "push" | "delete"): boolean => mayByGrants(grants, repository, action);
      // Whom the server lets see the catalog sees all of it.
      const refusal = (name: string): Rejection | undefined =>
        may(name, "pull") ? undefined : challenge(server, { type: "repository", name, actions: ["pull"] }, "insufficient_scope");
      return { visitor: { user: claims.sub === "" ? undefined : claims.sub, may, sees: () => true, refusal } };
    },
  };
}

/** Checks signature, issuer, audience and times. */
async function verifierOf({ service, issuer, rootcertbundle, jwks }: TokenServer): Promise<Verifier> {
  const options = { issuer, audience: service, clockTolerance: LEEWAY, algorithms: ALGORITHMS, requiredClaims: ["exp"] };
  const roots = rootcertbundle === undefined ? [] : certificatesOf(await read(rootcertbundle), rootcertbundle);
  const set = jwks === undefined ? undefined : createLocalJWKSet(parseKeys(await read(jwks), jwks));
  const known = new Map(roots.flatMap((root) => keyIds(root.publicKey).map((id) => [id, root.publicKey] as const)));
  const keyOf: JWTVerifyGetKey = async (header, input) => keyOfHeader(header, roots, known) ?? (await set?.(header, input)) ?? refuseKey();
  return async (token) => (await jwtVerify(token, keyOf, options)).payload;
}

/** The key that a header names: by a chain of certificates to one of ours, or by its id; the only one where it names none. */
function keyOfHeader(
  { kid, x5c }: JWTHeaderParameters,
  roots: readonly X509Certificate[],
  known: ReadonlyMap<string, KeyObject>,
): KeyObject | undefined {
  if (x5c !== undefined && x5c.length > 0) return keyOfChain(x5c, roots);
  if (kid !== undefined) return known.get(kid);
  return roots.length === 1 ? roots[0]?.publicKey : undefined;
}

function keyOfChain(x5c: readonly string[], roots: readonly X509Certificate[]): KeyObject | undefined {
  const chain = x5c.map((each) => new X509Certificate(Buffer.from(each, "base64")));
  let current = chain[0];
  for (let steps = 0; current !== undefined && steps <= chain.length; steps++) {
    const holder: X509Certificate = current;
    if (!isValidNow(holder)) return undefined;
    if (roots.some((root) => root.fingerprint256 === holder.fingerprint256 || isIssuedBy(holder, root))) return chain[0]?.publicKey;
    current = chain.find((each) => each.ca && each.fingerprint256 !== holder.fingerprint256 && isIssuedBy(holder, each));
  }
  return undefined;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isValidNow(certificate: X509Certificate): boolean {
  const now = Date.now();
  return Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
}

function refuseKey(): never {
  throw new LighterError("unauthorized", "Cannot take the token: its key is not known here");
}

function certificatesOf(text: string, path: string): X509Certificate[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw new LighterError("invalid", `Cannot use "${path}": there is no certificate in it`);
  return found.map((pem) => new X509Certificate(pem));
}

function parseKeys(text: string, path: string): JSONWebKeySet {
  try {
    return JSON.parse(text) as JSONWebKeySet;
  } catch (cause) {
    throw new LighterError("invalid", `Cannot use "${path}": ${messageOf(cause)}`, { cause });
  }
}

async function read(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause: Error) => {
    throw new LighterError("invalid", `Cannot read the keys of the token server in "${path}": ${cause.message}`, { cause });
  });
}
