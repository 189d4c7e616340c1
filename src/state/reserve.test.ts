import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { State } from "./state.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-reserve-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the log and the main file have space in advance, and writes stay within it", async () => {
  const path = join(folder, "state.db");
  using state = Object.assign(new State(path), { [Symbol.dispose]: () => state.close() });
  const free = (): number => state.get<{ freelist_count: number }>("PRAGMA freelist_count")?.freelist_count ?? 0;
  for (let n = 0; n < 1500 && free() < 1200; n++) await Bun.sleep(20);
  expect(free()).toBeGreaterThanOrEqual(1200);
  expect(state.get("SELECT count(*) AS n FROM reserve")).toEqual({ n: 0 });
  const sizes = (): number[] => [path, `${path}-wal`].map((file) => statSync(file).size);
  const before = sizes();
  for (let n = 0; n < 3000; n++)
    state.write((tx) => tx.run("INSERT INTO settings (key, value_json) VALUES (?, ?)", `k${n}`, JSON.stringify("x".repeat(300))), {
      durable: false,
    });
  expect(sizes()).toEqual(before);
});

test("what a crash left of it is taken away", () => {
  const path = join(folder, "crashed.db");
  new State(path).close();
  const raw = new Database(path);
  raw.run("INSERT INTO reserve (bytes) VALUES (zeroblob(100))");
  raw.close();
  const state = new State(path);
  state.close();
  const after = new Database(path);
  expect(after.query("SELECT count(*) AS n FROM reserve").get()).toEqual({ n: 0 });
  after.close();
});
