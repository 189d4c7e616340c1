import { TrieRouter } from "hono/router/trie-router";
import type { Handle } from "./call.ts";

/** One line of the table in `routes.ts`. */
export interface Route {
  method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
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
  return (method, path) => {
    const found = (trie.match(method, path)[0] as [Route, Record<string, string>][])[0];
    return found && { route: found[0], params: found[1] };
  };
}
