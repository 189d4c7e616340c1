import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Snapshot } from "./snapshot.ts";
import { State } from "./state.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-snapshot-"));
const path = join(folder, "state.db");
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a snapshot is of one moment, and what is changed in it stays in it", () => {
  const state = new State(path);
  const put = (digest: string): void =>
    state.write((tx) => void tx.run("INSERT INTO registry_links VALUES ('a', ?, 'manifest', 'x', 0, 0, 0, NULL)", digest), {
      durable: false,
    });
  const set = (key: string): void => state.write((tx) => void tx.run("INSERT INTO settings VALUES (?, '1')", key), { durable: false });
  put("one");
  put("two");
  set("a");
  {
    using snapshot = new Snapshot(path, ["registry_links"]);
    const links = (): string[] => snapshot.all<{ digest: string }>("SELECT digest FROM registry_links").map(({ digest }) => digest);
    put("three");
    set("b");
    expect(links()).toEqual(["one", "two"]);
    expect(snapshot.all("SELECT key FROM settings WHERE key IN ('a', 'b')")).toEqual([{ key: "a" }]);
    expect(snapshot.tx.run("DELETE FROM registry_links WHERE digest = 'one'").changes).toBe(1);
    expect(links()).toEqual(["two"]);
    expect(snapshot.all("EXPLAIN QUERY PLAN SELECT 1 FROM registry_links WHERE digest = 'x'")).toMatchObject([
      { detail: expect.stringContaining("registry_links_digest") },
    ]);
    expect(() => snapshot.tx.run("DELETE FROM settings")).toThrow("readonly");
    put("four");
  }
  expect(state.all("SELECT digest FROM registry_links")).toHaveLength(4);
  state.close();
});
