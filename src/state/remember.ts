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
