import type { Database, Statement } from "bun:sqlite";
import type { Reader, Tx, Value } from "./state.ts";

/** The statements of one connection, prepared once for each text. */
export class Statements implements Reader {
  readonly #db: Database;
  readonly #prepared = new Map<string, Statement>();

  constructor(db: Database) {
    this.#db = db;
  }

  get<Row>(sql: string, ...values: Value[]): Row | undefined {
    return (this.#prepare(sql).get(...values) as Row | null) ?? undefined;
  }

  all<Row>(sql: string, ...values: Value[]): Row[] {
    return this.#prepare(sql).all(...values) as Row[];
  }

  /** What a transaction may do; `afterCommit` keeps what is to be called once it is over. */
  tx(afterCommit: Tx["afterCommit"]): Tx {
    return {
      get: (sql, ...values) => this.get(sql, ...values),
      all: (sql, ...values) => this.all(sql, ...values),
      run: (sql, ...values) => {
        const { changes, lastInsertRowid } = this.#prepare(sql).run(...values);
        return { changes, lastId: Number(lastInsertRowid) };
      },
      afterCommit,
    };
  }

  /** Before the connection is closed. */
  finalize(): void {
    for (const statement of this.#prepared.values()) statement.finalize();
    this.#prepared.clear();
  }

  #prepare(sql: string): Statement {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) this.#prepared.set(sql, (statement = this.#db.prepare(sql)));
    return statement;
  }
}
