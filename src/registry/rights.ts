import { LighterError } from "../base/errors.ts";
import { WatchedFile } from "./watched-file.ts";

/** What can be done to a repository. */
export type Action = "pull" | "push" | "delete";

const ACTIONS: readonly Action[] = ["pull", "push", "delete"];

/** Who asks: a user's name, or undefined for somebody who did not sign in. */
export type User = string | undefined;

/** One line of a rights file. */
interface Rule {
  who: string;
  repositories: Bun.Glob;
  actions: ReadonlySet<Action>;
}

/** Who may do what where. What no line allows is refused. */
export interface Rights {
  may(user: User, repository: string, action: Action): boolean;
  /** Looks whether they have changed. */
  refresh?(): Promise<void>;
}

/** Without a rights file: who signed in may do everything, nobody else anything. */
export const SIGNED_IN: Rights = { may: (user) => user !== undefined };

/** Reads a rights file, and reads it again when it changes. Throws `invalid` with the line that is wrong. */
export async function readRights(path: string): Promise<Rights> {
  const file = await WatchedFile.open(path, (text) => parseRights(text, path));
  return { may: (user, repository, action) => file.value.may(user, repository, action), refresh: () => file.refresh() };
}

/**
 * Lines of three words, `WHO REPOSITORIES ACTIONS`, and of groups, `group NAME = USER...`; `#` begins a remark.
 * WHO is a user, `@group`, `*` for all who signed in, or `anonymous` for everybody. REPOSITORIES is a pattern (`team/*`, `**`).
 * ACTIONS are `pull`, `push`, `delete` with commas between, or `*`; who may push may pull, too. Throws `invalid`.
 */
export function parseRights(text: string, path: string): Rights {
  const groups = new Map<string, Set<string>>();
  const rules: Rule[] = [];
  text.split("\n").forEach((raw, index) => {
    const words = raw.replace(/#.*/, "").trim().split(/\s+/);
    const wrong = (what: string): LighterError => new LighterError("invalid", `Cannot use "${path}": line ${index + 1}: ${what}`);
    if (words[0] === "") return;
    if (words[0] === "group" && words[2] === "=") groups.set(words[1] ?? "", new Set(words.slice(3)));
    else if (words.length === 3) rules.push(ruleOf(words as [string, string, string], wrong));
    else throw wrong('expected "WHO REPOSITORIES ACTIONS" or "group NAME = USER..."');
  });
  for (const { who } of rules) {
    if (who.startsWith("@") && !groups.has(who.slice(1)))
      throw new LighterError("invalid", `Cannot use "${path}": there is no group "${who.slice(1)}"`);
  }
  const isMeant = (who: string, user: User): boolean => {
    if (who === "anonymous" || user === undefined) return who === "anonymous";
    return who === "*" || who === user || (who.startsWith("@") && groups.get(who.slice(1))?.has(user) === true);
  };
  return {
    may: (user, repository, action) =>
      rules.some(({ who, actions, repositories }) => actions.has(action) && isMeant(who, user) && repositories.match(repository)),
  };
}

function ruleOf([who, pattern, text]: [string, string, string], wrong: (what: string) => LighterError): Rule {
  const words = text === "*" ? ACTIONS : (text.split(",") as Action[]);
  const unknown = words.find((word) => !ACTIONS.includes(word));
  if (unknown !== undefined) throw wrong(`"${unknown}" is none of pull, push, delete and *`);
  const actions = new Set<Action>(words.includes("push") ? [...words, "pull"] : words);
  return { who, repositories: new Bun.Glob(pattern), actions };
}
