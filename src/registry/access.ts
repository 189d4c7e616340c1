import type { Action, User } from "./rights.ts";

/** What a request wants to do: to a repository, or to look at the catalog. */
export type Scope =
  { type: "repository"; name: string; actions: readonly Action[] } | { type: "registry"; name: "catalog"; actions: readonly ["*"] };

/** Somebody who was let in. */
export interface Visitor {
  user: User;
  /** Whether they may do this, too. */
  may(repository: string, action: Action): boolean;
  /** Whether they may see that a repository is there. */
  sees(repository: string): boolean;
  /** Why they may not read another repository than the one they were let in to; undefined when they may. What a token merely lacks, its challenge asks for. */
  refusal(repository: string): Rejection | undefined;
}

/** Why somebody was not let in: the status, the code of the protocol, and how to sign in. */
export interface Rejection {
  code: "UNAUTHORIZED" | "DENIED";
  detail: unknown;
  headers: Record<string, string>;
}

/** Decides who comes in. */
export interface Access {
  /** `scope` is what the request needs; undefined for `/v2/` itself, which everybody who signed in may ask. */
  admit(request: Request, scope: Scope | undefined): Promise<{ visitor: Visitor } | { rejection: Rejection }>;
  /** The endpoint that makes tokens; undefined where there is none. */
  token?(request: Request): Promise<Response>;
}

/** Whoever asks may do everything: the registry's own socket, and a registry without users. */
export const EVERYBODY: Visitor = { user: undefined, may: () => true, sees: () => true, refusal: () => undefined };

/** User and password of an `Authorization: Basic`; undefined without one (RFC 7617). */
export function basicOf(request: Request): { user: string; password: string } | undefined {
  const [, encoded] = /^Basic\s+(\S+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString();
  const at = text.indexOf(":");
  return at < 0 ? undefined : { user: text.slice(0, at), password: text.slice(at + 1) };
}

/** A scope in the words of a challenge: `repository:team/app:pull,push`. */
export function scopeText(scope: Scope): string {
  return `${scope.type}:${scope.name}:${scope.actions.join(",")}`;
}
