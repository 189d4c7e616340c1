import { basicOf, scopeText, type Access, type Rejection, type Scope, type Visitor } from "./access.ts";
import type { PasswordFile } from "./htpasswd.ts";
import type { Rights, User } from "./rights.ts";

const CHALLENGE = { "www-authenticate": 'Basic realm="Lighter registry", charset="UTF-8"' };

/** Users sign in with name and password at every request (RFC 7617). */
export function basicAccess(passwords: PasswordFile, rights: Rights): Access {
  return {
    async admit(request, scope) {
      await rights.refresh?.();
      const basic = basicOf(request);
      if (basic !== undefined && !(await passwords.verify(basic.user, basic.password))) return { rejection: unauthorized(scope) };
      // Clients sign in where `/v2/` asks them to, before they know what they will need.
      if (basic === undefined && scope === undefined) return { rejection: unauthorized(scope) };
      const visitor = visitorOf(basic?.user, rights);
      if (scope === undefined || allows(visitor, scope)) return { visitor };
      return { rejection: basic === undefined ? unauthorized(scope) : { code: "DENIED", detail: scopeText(scope), headers: {} } };
    },
  };
}

/** Somebody with the rights that a file gives them. */
export function visitorOf(user: User, rights: Rights): Visitor {
  return {
    user,
    may: (repository, action) => rights.may(user, repository, action),
    sees: (repository) => rights.may(user, repository, "pull"),
    refusal: (repository) => (rights.may(user, repository, "pull") ? undefined : denied(user, repository)),
  };
}

/** Whether a visitor may do all that a request needs. The catalog is open to all: it shows to each what they may pull. */
export function allows(visitor: Visitor, scope: Scope): boolean {
  return scope.type === "registry" || scope.actions.every((action) => visitor.may(scope.name, action));
}

function denied(user: User, repository: string): Rejection {
  const scope: Scope = { type: "repository", name: repository, actions: ["pull"] };
  return user === undefined ? unauthorized(scope) : { code: "DENIED", detail: scopeText(scope), headers: {} };
}

function unauthorized(scope: Scope | undefined): Rejection {
  return { code: "UNAUTHORIZED", detail: scope && scopeText(scope), headers: CHALLENGE };
}
