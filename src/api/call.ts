import type { Engine } from "../engine/engine.ts";
import type { ByteStream } from "../transport/byte-stream.ts";
import type { AnswerStream, Headers } from "../transport/exchange.ts";
import type { Query } from "./query.ts";

/** Minor number of an Engine API version: 56 for 1.56. All are of major version 1. */
export type ApiVersion = number;

/** A request's body, as a handler may take it. */
export interface CallBody {
  /** Bytes as announced; undefined for chunks. */
  readonly length: number | undefined;
  bytes(limit: number): Promise<Uint8Array>;
  stream(): ReadableStream<Uint8Array>;
}

/** One request as a handler sees it: no socket, no HTTP, so that handlers can be called by hand. */
export interface Call {
  readonly engine: Engine;
  readonly version: ApiVersion;
  /** `METHOD path` of the route, as in the table. */
  readonly route: string;
  /** What the answer will warn of beside what the engine says; for answers that have a place for it. */
  readonly warnings: string[];
  /** Parts of the path by name, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: CallBody;
  /** Aborted when the client goes away before the answer is complete. */
  readonly signal: AbortSignal;
  header(name: string): string | undefined;
}

/**
 * What a handler answers: JSON, text or nothing in one write; a stream whose head is sent when the handler returns; or the connection itself.
 */
export type Answer =
  | { status: number; headers?: Headers; json: unknown }
  | { status: number; headers?: Headers; text: string }
  | { status: number; headers?: Headers }
  | { status: number; headers?: Headers; stream: (out: AnswerStream) => Promise<void> }
  | { hijack: Headers; run: (stream: ByteStream) => Promise<void> };

/** Answers a call. What it throws becomes an error answer. */
export type Handle = (call: Call) => Answer | Promise<Answer>;

/** 200 with JSON. */
export function json(value: unknown, status = 200): Answer {
  return { status, json: value };
}

/** 204, or another status without a body. */
export function done(status = 204): Answer {
  return { status };
}

/** A named part of the path. */
export function param(call: Call, name: string): string {
  return call.params[name] ?? "";
}

/** A list as Docker writes it where nothing was put into it: null. */
export function orNull<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}
