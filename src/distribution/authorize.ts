import { LighterError } from "../base/errors.ts";
import { readText } from "./answers.ts";
import type { Challenge } from "./challenge.ts";
import type { Credentials } from "./distribution.ts";
import { hostnameOf, isLoopback } from "./hosts.ts";
import type { ProxySettings } from "./proxy.ts";
import { askPatiently } from "./retry.ts";
import { send, type Request } from "./send.ts";

/** How a token server is reached, and who asks. */
export interface TokenContext {
  credentials: Credentials | undefined;
  userAgent: string;
  /** The registry is allowed to be plain HTTP, so its token server is, too. */
  insecure: boolean;
  tls?: Request["tls"];
  proxies?: ProxySettings | undefined;
  unix?: string | undefined;
  signal?: AbortSignal | undefined;
  timeout?: number | undefined;
}

/** A bearer token, when it ends (milliseconds since the epoch), and a refresh token where one was asked for. */
export interface Token {
  header: string;
  expires: number;
  refreshToken?: string;
}

/** `Basic` header of a name and a password; undefined without them. */
export function basicHeader(credentials: Credentials | undefined): string | undefined {
  if (credentials?.username === undefined || credentials.password === undefined) return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

/**
 * Asks the realm of a bearer challenge for a token.
 * https://distribution.github.io/distribution/spec/auth/token/ and /oauth/
 * @param scopes `repository:library/ubuntu:pull`, none for a login
 */
export async function requestToken(
  challenge: Challenge,
  scopes: readonly string[],
  context: TokenContext,
  offline = false,
): Promise<Token> {
  const realm = realmOf(challenge, context);
  const ask = (request: Request): Promise<Response> => askPatiently(() => send(request), { attempts: 3, signal: context.signal });
  let response: Response;
  if (context.credentials?.identityToken) response = await ask(grantRequest(realm, challenge, scopes, context, offline));
  else {
    response = await ask(tokenRequest(realm, challenge, scopes, context, offline));
    // A server of OAuth2 alone has no GET.
    if ((response.status === 404 || response.status === 405) && context.credentials?.password !== undefined) {
      await response.body?.cancel().catch(() => undefined);
      response = await ask(grantRequest(realm, challenge, scopes, context, offline));
    }
  }
  const text = await readText(response, 1 << 20);
  if (response.status === 401) throw new LighterError("unauthorized", "unauthorized: incorrect username or password");
  if (response.status === 403) throw new LighterError("forbidden", "denied: requested access to the resource is denied");
  if (response.status === 429)
    throw new LighterError("too-many", "toomanyrequests: too many requests to the token server, try again later");
  if (!response.ok) {
    throw new LighterError(
      "unavailable",
      `failed to fetch oauth token: unexpected status from ${context.credentials?.identityToken ? "POST" : "GET"} request to ${realm.href}: ${response.status}`,
    );
  }
  return parseToken(text, realm);
}

function realmOf(challenge: Challenge, context: TokenContext): URL {
  const realm = URL.parse(challenge.parameters["realm"] ?? "");
  if (realm === null || (realm.protocol !== "https:" && realm.protocol !== "http:")) {
    throw new LighterError("invalid", `unable to parse realm "${challenge.parameters["realm"] ?? ""}" of the registry's challenge`);
  }
  const plain = realm.protocol === "http:" && !isLoopback(hostnameOf(realm.host)) && !context.insecure;
  if (plain && context.credentials !== undefined) {
    throw new LighterError(
      "invalid",
      `Cannot send credentials to the token server "${realm.origin}": it is not HTTPS, and its registry is not marked insecure`,
    );
  }
  return realm;
}

function tokenRequest(realm: URL, challenge: Challenge, scopes: readonly string[], context: TokenContext, offline: boolean): Request {
  const url = new URL(realm);
  const service = challenge.parameters["service"];
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  const authorization = basicHeader(context.credentials);
  if (authorization !== undefined) url.searchParams.set("account", context.credentials?.username ?? "");
  if (offline) {
    url.searchParams.set("offline_token", "true");
    url.searchParams.set("client_id", "docker");
  }
  return { ...common(context), method: "GET", url: url.href, authorization };
}

/** OAuth2: an identity token, or a name and a password, for an access token. */
function grantRequest(realm: URL, challenge: Challenge, scopes: readonly string[], context: TokenContext, offline: boolean): Request {
  const { identityToken, username = "", password = "" } = context.credentials ?? {};
  const form = new URLSearchParams({ grant_type: identityToken ? "refresh_token" : "password", client_id: "docker" });
  if (identityToken) form.set("refresh_token", identityToken);
  else {
    form.set("username", username);
    form.set("password", password);
    if (offline) form.set("access_type", "offline");
  }
  form.set("service", challenge.parameters["service"] ?? "");
  if (scopes.length > 0) form.set("scope", scopes.join(" "));
  const request: Request = { ...common(context), method: "POST", url: realm.href, body: form.toString() };
  return { ...request, headers: { ...request.headers, "content-type": "application/x-www-form-urlencoded" } };
}

function common({
  userAgent,
  tls,
  proxies,
  insecure,
  signal,
  timeout,
}: TokenContext): Pick<Request, "headers" | "tls" | "proxies" | "insecure" | "signal" | "timeout"> {
  return { headers: { "user-agent": userAgent }, tls, proxies, insecure, signal, timeout };
}

function parseToken(text: string, realm: URL): Token {
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown; refresh_token?: unknown };
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch (cause) {
    throw new LighterError("invalid", `unable to decode token response of ${realm.origin}: it is not JSON`, { cause });
  }
  const token = answer?.token ?? answer?.access_token;
  if (typeof token !== "string" || token === "")
    throw new LighterError("invalid", "authorization server did not include a token in the response");
  const seconds = typeof answer.expires_in === "number" && answer.expires_in > 0 ? answer.expires_in : 60;
  const refresh = typeof answer.refresh_token === "string" ? { refreshToken: answer.refresh_token } : {};
  return { header: `Bearer ${token}`, expires: Date.now() + seconds * 900, ...refresh };
}
