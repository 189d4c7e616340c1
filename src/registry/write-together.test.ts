import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { State } from "../state/state.ts";
import { writeTogether } from "./write-together.ts";

test("changes of one turn share a transaction, and one that fails fails alone", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-together-"));
  const state = new State(join(folder, "state.db"));
  let commits = 0;
  const put = (key: string): Promise<void> =>
    writeTogether(state, (tx) => {
      tx.run("INSERT INTO settings (key, value_json) VALUES (?, '1')", key);
      if (key === "a") tx.afterCommit(() => commits++);
    });
  await Promise.all(["a", "b", "c"].map(put));
  expect(commits).toBe(1);
  const outcomes = await Promise.allSettled(["d", "a", "e"].map(put));
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  const keys = state.all<{ key: string }>("SELECT key FROM settings WHERE length(key) = 1 ORDER BY key").map(({ key }) => key);
  expect(keys).toEqual(["a", "b", "c", "d", "e"]);
  state.close();
  await rm(folder, { recursive: true });
});
