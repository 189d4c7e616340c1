import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { restingReader } from "./remember.ts";
import { State, type Reader } from "./state.ts";

let directory: string;
let state: State;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lighter-remember-"));
  state = new State(join(directory, "state.db"));
});
afterEach(() => {
  state.close();
  rmSync(directory, { recursive: true });
});

const set = (key: string): void => void state.write((tx) => tx.run("INSERT INTO settings VALUES (?, '1')", key), { durable: false });
const keys = (reader: Reader): { key: string }[] => reader.all("SELECT key FROM settings ORDER BY key");

test("a database at rest is read once; every write is seen", () => {
  set("a");
  const first = keys(restingReader(state));
  expect(first).toEqual([{ key: "a" }]);
  expect(keys(restingReader(state))).toBe(first);
  set("b");
  expect(keys(restingReader(state))).toEqual([{ key: "a" }, { key: "b" }]);
});

test("a write that fails changes nothing of it", () => {
  set("a");
  const first = keys(restingReader(state));
  expect(() => set("a")).toThrow();
  expect(keys(restingReader(state))).toEqual(first);
});

test("where nobody tells of writes, it remembers for one look", () => {
  const plain: Reader = { get: (sql, ...values) => state.get(sql, ...values), all: (sql, ...values) => state.all(sql, ...values) };
  const look = restingReader(plain);
  expect(keys(look)).toEqual([]);
  set("a");
  expect(keys(look)).toEqual([]);
  expect(keys(restingReader(plain))).toEqual([{ key: "a" }]);
});
