import { Database } from "bun:sqlite";
import type { Reader, Tx, Value } from "./state.ts";
import { Statements } from "./statements.ts";

/**
 * What the state held at one moment, on a connection of its own: for Workers whose long look is not to hold up the daemon. The tables in `lent` are
 * copied into memory and may be changed, to see what then would be; nothing of it reaches the file.
 */
export class Snapshot implements Reader, Disposable {
  readonly #db: Database;
  readonly #statements: Statements;

  constructor(path: string, lent: readonly string[] = []) {
    this.#db = new Database(path, { readonly: true, strict: true });
    this.#statements = new Statements(this.#db);
    this.#db.run("PRAGMA busy_timeout=2000");
    this.#db.run("PRAGMA temp_store=MEMORY");
    this.#db.run("BEGIN");
    for (const table of lent) this.#lend(table);
    // The moment is that of the first look.
    this.get("SELECT 1 FROM sqlite_schema");
  }

  get<Row>(sql: string, ...values: Value[]): Row | undefined {
    return this.#statements.get(sql, ...values);
  }

  all<Row>(sql: string, ...values: Value[]): Row[] {
    return this.#statements.all(sql, ...values);
  }

  /** A transaction that only the lent tables take part in; it is never committed. */
  get tx(): Tx {
    return this.#statements.tx(() => undefined);
  }

  [Symbol.dispose](): void {
    this.#statements.finalize();
    this.#db.close();
  }

  /** A temporary table of the same name comes first wherever the name is used. */
  #lend(table: string): void {
    const sql = "SELECT type, sql FROM main.sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type = 'index'";
    const made = this.#db.query<{ type: string; sql: string }, [string]>(sql).all(table);
    for (const each of made.filter(({ type }) => type === "table")) this.#db.run(each.sql.replace("CREATE TABLE", "CREATE TEMP TABLE"));
    this.#db.run(`INSERT INTO temp.${table} SELECT * FROM main.${table}`);
    for (const each of made.filter(({ type }) => type === "index")) this.#db.run(each.sql.replace("CREATE INDEX ", "CREATE INDEX temp."));
  }
}
