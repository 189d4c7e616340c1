import type { ApiVersion, Call } from "./call.ts";
import type { Query } from "./query.ts";
import type { Route } from "./router.ts";
import { ANSWER_CHANGES } from "./version-answers.ts";
import type { Change, Json } from "./version-change.ts";
import { REQUEST_CHANGES } from "./version-requests.ts";

/**
 * All that differs between the newest version, which handlers speak, and the ones before. What a route is since stands in `routes.ts`.
 * Beside the table: streams (the events' older fields and the type of logs and attach) and when `wait` answers, which no field shows.
 */
export const CHANGES: readonly Change[] = [...REQUEST_CHANGES, ...ANSWER_CHANGES];

/** `METHOD path` of a route, as the table names it. */
export function nameOf(route: Route): string {
  return `${route.method} ${route.path}`;
}

const byRoute = new Map<string, Change[]>();
for (const change of CHANGES) {
  for (const route of [change.route].flat()) byRoute.set(route, [...(byRoute.get(route) ?? []), change]);
}

function changesFor(version: ApiVersion, route: string): Change[] {
  return (byRoute.get(route) ?? []).filter(({ below }) => version < below);
}

/** Changes a query in place from what a client of `version` means to what handlers read. */
export function shapeQuery(version: ApiVersion, route: string, query: Query): void {
  for (const change of changesFor(version, route)) change.query?.(query);
}

/** The same for a body that is checked already. */
export function shapeBody(call: Call, body: Json): void {
  for (const change of changesFor(call.version, call.route)) change.body?.(body, call);
}

/** Changes an answer in place to what the call's client expects. */
export function shapeAnswer(call: Call, answer: unknown): void {
  for (const change of changesFor(call.version, call.route)) {
    if (change.answer === undefined) continue;
    for (const item of Array.isArray(answer) ? (answer as Json[]) : [answer as Json]) change.answer(item, call);
  }
}
