import { expect, test } from "bun:test";
import { join } from "node:path";
import { graph, imports, violations } from "./layers.ts";

test("the tree of the sources keeps to the table of layers", async () => {
  const all = await imports();
  expect(all.length).toBeGreaterThan(50);
  expect(violations(all)).toEqual([]);
});

test.each([
  ["state", "containers", "must not import"],
  ["images", "containers", "must not import"],
  ["cli", "engine", "through client/ only"],
  ["containers", "bun:sqlite", "belongs to state/ alone"],
  ["unheard", "base", "is not in the table"],
])("an import from %s of %s is told", (from, to, reason) => {
  expect(violations([{ from, to, file: `${from}/x.ts`, line: 1 }]).join()).toContain(reason);
});

test("an import of a lower layer is fine", () => {
  expect(violations([{ from: "containers", to: "runtime", file: "containers/x.ts", line: 1 }])).toEqual([]);
});

test("ARCHITECTURE.md shows the graph as it is (`bun tools/layers.ts --write` draws it)", async () => {
  expect(await Bun.file(join(import.meta.dir, "../ARCHITECTURE.md")).text()).toContain(graph(await imports()));
});
