import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, generateKeyPair, importJWK, jwtVerify, SignJWT, type CryptoKey, type JWK, type JWTPayload } from "jose";
import { basicOf, type Access, type Rejection, type Scope, type Visitor } from "./access.ts";
import { allows, visitorOf } from "./basic-access.ts";
import { bearerOf, challenge, grantsAllow, grantsOf, mayByGrants, parseScope, type Grant } from "./bearer.ts";
import type { PasswordFile } from "./htpasswd.ts";
import { readShort } from "./receive.ts";
import type { Action, Rights, User } from "./rights.ts";

const SERVICE = "lighter-registry";
const ALGORITHM = "ES256";
/** A token is good for so many seconds. */
const LIFETIME = 300;

interface Keys {
  signing: CryptoKey;
  verifying: CryptoKey;
}

/**
 * Users of a password file sign in at `/token` of this registry and get tokens for what their rights allow, for a short time; a name and a
 * password at each request do as well. https://distribution.github.io/distribution/spec/auth/token/
 */
export async function ownTokenAccess(passwords: PasswordFile, rights: Rights, folder: string): Promise<Access> {
  const keys = await openKeys(folder);
  return {
    async admit(request, scope) {
      await rights.refresh?.();
      const server = { realm: realmOf(request), service: SERVICE };
      const basic = basicOf(request);
      if (basic !== undefined) {
        const visitor = visitorOf(basic.user, rights);
        if (!(await passwords.verify(basic.user, basic.password))) return { rejection: challenge(server, scope) };
        return scope === undefined || allows(visitor, scope) ? { visitor } : { rejection: challenge(server, scope, "insufficient_scope") };
      }
      const token = bearerOf(request);
      if (token === undefined) {
        const anybody = challenged(visitorOf(undefined, rights), server);
        return scope?.type === "repository" && allows(anybody, scope) ? { visitor: anybody } : { rejection: challenge(server, scope) };
      }
      const claims = await verify(keys, token, "access");
      if (claims === undefined) return { rejection: challenge(server, scope, "invalid_token") };
      const visitor = challenged(visitorOfToken(claims, rights), server);
      if (scope === undefined || mayByToken(visitor, claims, scope)) return { visitor };
      return { rejection: challenge(server, scope, "insufficient_scope") };
    },
    token: (request) => makeToken(request, { passwords, rights, keys }),
  };
}

/** Whoever did not sign in is told where to. */
function challenged(visitor: Visitor, server: { realm: string; service: string }): Visitor {
  if (visitor.user !== undefined) return visitor;
  const where = (name: string): Rejection => challenge(server, { type: "repository", name, actions: ["pull"] });
  return { ...visitor, refusal: (name) => visitor.refusal(name) && where(name) };
}

function mayByToken(visitor: Visitor, claims: JWTPayload, scope: Scope): boolean {
  return scope.type === "registry" ? grantsAllow(grantsOf(claims["access"]), scope) : allows(visitor, scope);
}

/** What a token says, as far as the rights still say so. */
function visitorOfToken(claims: JWTPayload, rights: Rights): Visitor {
  const user = claims.sub === "" ? undefined : claims.sub;
  const grants = grantsOf(claims["access"]);
  const may = (repository: string, action: Action): boolean =>
    mayByGrants(grants, repository, action) && rights.may(user, repository, action);
  // Tokens are made by the same rights: a second one would say what is known here already.
  return { ...visitorOf(user, rights), may };
}

interface Maker {
  passwords: PasswordFile;
  rights: Rights;
  keys: Keys;
}

/** `/token`: GET with Basic as docker's clients ask, POST as OAuth 2 has it; without a password for what everybody may do. */
async function makeToken(request: Request, maker: Maker): Promise<Response> {
  if (request.method !== "GET" && request.method !== "POST") return refuseToken(405, "invalid_request");
  const url = new URL(request.url);
  const form = request.method === "POST" ? new URLSearchParams(await shortText(request)) : url.searchParams;
  const signed = request.method === "POST" ? await signInByForm(form, maker) : await signInByHeader(request, maker);
  if (signed === "wrong") return refuseToken(401, "invalid_grant");
  const { user } = signed;
  await maker.rights.refresh?.();
  const access = form
    .getAll("scope")
    .flatMap((text) => text.split(" "))
    .flatMap((text) => granted(maker.rights, user, parseScope(text)));
  const token = await sign(maker.keys, user, { access, use: "access" }, LIFETIME);
  const isLasting = user !== undefined && (form.get("offline_token") === "true" || form.get("access_type") === "offline");
  const refresh = isLasting
    ? await sign(maker.keys, user, { use: "refresh", seal: await maker.passwords.seal(user) })
    : form.get("refresh_token");
  return Response.json({
    token,
    access_token: token,
    expires_in: LIFETIME,
    issued_at: new Date().toISOString(),
    ...(request.method === "POST" && { scope: access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(",")}`).join(" ") }),
    ...(refresh !== null && { refresh_token: refresh }),
  });
}

type SignedIn = { user: User } | "wrong";

async function signInByHeader(request: Request, { passwords }: Maker): Promise<SignedIn> {
  const basic = basicOf(request);
  if (basic === undefined) return request.headers.has("authorization") ? "wrong" : { user: undefined };
  return (await passwords.verify(basic.user, basic.password)) ? { user: basic.user } : "wrong";
}

async function signInByForm(form: URLSearchParams, { passwords, keys }: Maker): Promise<SignedIn> {
  if (form.get("grant_type") === "password") {
    const user = form.get("username") ?? "";
    return (await passwords.verify(user, form.get("password") ?? "")) ? { user } : "wrong";
  }
  const claims = form.get("grant_type") === "refresh_token" ? await verify(keys, form.get("refresh_token") ?? "", "refresh") : undefined;
  // A new password ends what was got with the old one.
  const seal = claims?.sub === undefined ? undefined : await passwords.seal(claims.sub);
  return claims?.sub === undefined || seal === undefined || seal !== claims["seal"] ? "wrong" : { user: claims.sub };
}

/** The part of what is asked that the rights allow. */
function granted(rights: Rights, user: User, asked: Grant | undefined): Grant[] {
  if (asked === undefined) return [];
  if (asked.type === "registry" && asked.name === "catalog" && user !== undefined) return [{ ...asked, actions: ["*"] }];
  if (asked.type.replace(/\(.*\)$/, "") !== "repository") return [];
  const wanted: readonly string[] = asked.actions.includes("*") ? ["pull", "push", "delete"] : asked.actions;
  const actions = (["pull", "push", "delete"] as const).filter((action) => wanted.includes(action) && rights.may(user, asked.name, action));
  return actions.length === 0 ? [] : [{ type: "repository", name: asked.name, actions }];
}

async function sign({ signing }: Keys, user: User, claims: Record<string, unknown>, seconds?: number): Promise<string> {
  const token = new SignJWT(claims)
    .setProtectedHeader({ alg: ALGORITHM, typ: "JWT" })
    .setSubject(user ?? "")
    .setIssuer(SERVICE)
    .setAudience(SERVICE)
    .setJti(crypto.randomUUID())
    .setIssuedAt();
  return await (seconds === undefined ? token : token.setExpirationTime(`${seconds}s`)).sign(signing);
}

/** What a token of ours says; undefined where it is none, or not for this use. */
async function verify({ verifying }: Keys, token: string, use: "access" | "refresh"): Promise<JWTPayload | undefined> {
  try {
    const { payload } = await jwtVerify(token, verifying, {
      issuer: SERVICE,
      audience: SERVICE,
      algorithms: [ALGORITHM],
      clockTolerance: 5,
    });
    return payload["use"] === use ? payload : undefined;
  } catch {
    return undefined;
  }
}

/** The place of our tokens as the client reached us. */
function realmOf(request: Request): string {
  const { protocol, host } = new URL(request.url);
  const outside = request.headers.get("x-forwarded-proto");
  const named = request.headers.get("host") ?? host;
  const scheme = outside === "https" || outside === "http" ? `${outside}:` : protocol;
  return `${scheme}//${/^[\w.[\]:-]+$/.test(named) ? named : host}/token`;
}

/** Forms are short. */
async function shortText(request: Request): Promise<string> {
  return new TextDecoder().decode((await readShort(request, 65_536)) ?? new Uint8Array());
}

function refuseToken(status: number, error: string): Response {
  const errors = [{ code: "UNAUTHORIZED", message: "authentication required" }];
  return Response.json({ error, details: "the name or the password is wrong", errors }, { status });
}

/** The key that tokens are signed with, made at the first start. */
async function openKeys(folder: string): Promise<Keys> {
  const path = join(folder, "token-key.json");
  const jwk = (await readFile(path, "utf8").then(JSON.parse, () => undefined)) as JWK | undefined;
  return jwk === undefined ? await makeKeys(folder, path) : await keysOf(jwk);
}

async function makeKeys(folder: string, path: string): Promise<Keys> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const jwk = await exportJWK(privateKey);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(`${path}.new`, JSON.stringify(jwk), { mode: 0o600 });
  await chmod(`${path}.new`, 0o600);
  await rename(`${path}.new`, path);
  return await keysOf(jwk);
}

async function keysOf(jwk: JWK): Promise<Keys> {
  const { d: _, ...open } = jwk;
  return { signing: (await importJWK(jwk, ALGORITHM)) as CryptoKey, verifying: (await importJWK(open, ALGORITHM)) as CryptoKey };
}
