import type { Reader, Value } from "./state.ts";

/**
 * A reader for one look without an `await` in it: what was read once is not read again, and comes as the same objects. For lists, which ask the
 * same of the database for every item.
 */
export function rememberingReader(reader: Reader): Reader {
  const known = new Map<string, Map<string, unknown>>();
  const remember = <T>(kind: string, sql: string, values: readonly unknown[], read: () => T): T => {
    let answers = known.get(kind + sql);
    if (answers === undefined) known.set(kind + sql, (answers = new Map()));
    const key = values.length === 1 ? String(values[0]) : values.join("\0");
    if (answers.has(key)) return answers.get(key) as T;
    const answer = read();
    answers.set(key, answer);
    return answer;
  };
  return {
    get: <Row>(sql: string, ...values: Value[]) => remember("1", sql, values, () => reader.get<Row>(sql, ...values)),
    all: <Row>(sql: string, ...values: Value[]) => remember("*", sql, values, () => reader.all<Row>(sql, ...values)),
  };
}

const resting = new WeakMap<Reader, { revision: number; reader: Reader }>();

/**
 * A {@link rememberingReader} that goes on remembering until something is written: lists of a database at rest cost no reading. The rows that it hands out are not to be
 * changed. Where a reader does not tell its revision, it remembers for this look alone.
 */
export function restingReader(state: Reader & { readonly revision?: number }): Reader {
  const { revision } = state;
  if (revision === undefined) return rememberingReader(state);
  const known = resting.get(state);
  if (known?.revision === revision) return known.reader;
  const reader = rememberingReader(state);
  resting.set(state, { revision, reader });
  return reader;
}
