import type { ApiVersion, Call } from "./call.ts";
import type { Query } from "./query.ts";

/** An object of a request or an answer, its fields open. */
export type Json = Record<string, unknown>;

/** One line of the table: what clients below a version mean by a request, or expect of an answer, that is otherwise in the newest version. */
export interface Change {
  /** It applies to clients below this minor version. */
  below: ApiVersion;
  /** `METHOD path` as in the table of routes; several where the same holds for each. */
  route: string | readonly string[];
  /** The field or parameter that differs, for people. */
  field: string;
  /** What holds below the version. */
  change: string;
  /** Where Docker tells of it; {@link section} of `below` unless said. */
  history?: string;
  /** Changes the request's query before the handler reads it. */
  query?(query: Query): void;
  /** Changes the request's checked body before the handler has it; may refuse it. */
  body?(body: Json, call: Call): void;
  /** Changes one object of the answer in place: the answer itself, or each item of a list. What lies inside may be the engine's own: {@link own} it first. */
  answer?(item: Json, call: Call): void;
}

/** The section of Docker's API history that tells what a version changed. */
export function section(version: ApiVersion): string {
  return `https://docs.docker.com/reference/api/engine/version-history/#v1${version}-api-changes`;
}

/** A copy of the object in a field, put in its place, so that it may be changed. */
export function own(item: Json, field: string): Json {
  const copy = { ...(item[field] as Json | null | undefined) };
  item[field] = copy;
  return copy;
}

/** Gives fields that are missing the values that stand for "nothing" there. */
export function fill(item: Json, empty: Readonly<Json>): void {
  for (const [name, value] of Object.entries(empty)) item[name] ??= value;
}

/** The objects in a list, where there is a list of them. */
export function itemsOf(list: unknown): Json[] {
  return Array.isArray(list) ? (list as Json[]) : [];
}
