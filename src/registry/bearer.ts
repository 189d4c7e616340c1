import { scopeText, type Rejection, type Scope } from "./access.ts";
import type { Action } from "./rights.ts";

/** What a token allows: the claim `access` of docker's tokens. https://distribution.github.io/distribution/spec/auth/jwt/ */
export interface Grant {
  type: string;
  name: string;
  actions: string[];
}

/** The token of an `Authorization: Bearer`; undefined without one (RFC 6750). */
export function bearerOf(request: Request): string | undefined {
  return /^Bearer\s+(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
}

/** The refusal that tells a client where to get a token for what, and what was wrong with the one it sent. */
export function challenge(
  server: { realm: string; service: string },
  scope: Scope | undefined,
  error?: "invalid_token" | "insufficient_scope",
): Rejection {
  const words = [`realm="${server.realm}"`, `service="${server.service}"`];
  if (scope !== undefined) words.push(`scope="${scopeText(scope)}"`);
  if (error !== undefined) words.push(`error="${error}"`);
  return { code: "UNAUTHORIZED", detail: scope && scopeText(scope), headers: { "www-authenticate": `Bearer ${words.join(",")}` } };
}

/** The claim `access` of a token that was verified; what is not of its shape counts for nothing. */
export function grantsOf(claim: unknown): Grant[] {
  if (!Array.isArray(claim)) return [];
  return (claim as unknown[]).filter((each): each is Grant => {
    const { type, name, actions } = (each ?? {}) as Partial<Grant>;
    return typeof type === "string" && typeof name === "string" && Array.isArray(actions);
  });
}

/** Whether grants hold an action on a repository. */
export function mayByGrants(grants: readonly Grant[], repository: string, action: Action): boolean {
  return grants.some(
    ({ type, name, actions }) =>
      type.replace(/\(.*\)$/, "") === "repository" && name === repository && (actions.includes(action) || actions.includes("*")),
  );
}

/** Whether grants hold all that a request needs. */
export function grantsAllow(grants: readonly Grant[], scope: Scope): boolean {
  if (scope.type === "repository") return scope.actions.every((action) => mayByGrants(grants, scope.name, action));
  return grants.some(({ type, name, actions }) => type === "registry" && name === scope.name && actions.includes("*"));
}

/** `repository:team/app:pull,push` as a grant that is asked for; names may hold a port. Undefined for other words. */
export function parseScope(text: string): Grant | undefined {
  const [, type = "", name = "", actions = ""] = /^([^:]+):(.+):([a-z*,]+)$/.exec(text) ?? [];
  return type === "" ? undefined : { type, name, actions: actions.split(",") };
}
