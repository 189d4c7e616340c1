import { TrieRouter } from "hono/router/trie-router";
import type { Handle } from "./call.ts";

/** One line of the table in `routes.ts`. */
export interface Route {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With `:name` for one part of the path and `:name{.+}` for image names, which hold slashes. */
  path: string;
  handle: Handle;
  /** Minor number of the API version that brought it; absent for what 1.24 has. */
  since?: number;
}

/** A route found, and the parts of the path that it names. */
export interface Match {
  route: Route;
  params: Readonly<Record<string, string>>;
}

/** Puts the table into hono's trie; the function finds the first route in the table's order for a method and a decoded path. */
export function makeRouter(routes: readonly Route[]): (method: string, path: string) => Match | undefined {
  const trie = new TrieRouter<Route>();
  for (const route of routes) trie.add(route.method, route.path, route);
  const match = (method: string, path: string): Match | undefined => {
    const found = (trie.match(method, path)[0] as [Route, Record<string, string>][])[0];
    return found && { route: found[0], params: found[1] };
  };
  return (method, path) => match(method, path) ?? matchLink(match, method, path);
}

/** Stands for a slash inside of a name while the table is asked; no path that a client sends holds it. */
const SLASH = "\0";

/** A container may be called by a legacy link's name, `parent/alias`: what follows it is one word, two (`attach/ws`), or nothing. */
function matchLink(match: (method: string, path: string) => Match | undefined, method: string, path: string): Match | undefined {
  const [, resource, ...parts] = path.split("/");
  if (resource !== "containers" || parts.length < 2 || path.includes(SLASH)) return undefined;
  for (const tail of [1, 2, 0]) {
    const name = parts.slice(0, parts.length - tail);
    if (name.length < 2) continue;
    const found = match(method, ["", resource, name.join(SLASH), ...parts.slice(parts.length - tail)].join("/"));
    if (found !== undefined) return { route: found.route, params: { ...found.params, id: name.join("/") } };
  }
  return undefined;
}
