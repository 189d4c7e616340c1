import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeProof } from "./proof.ts";

test("a run of some suites keeps the figures of the others, under the run that they are of; a whole run writes the page anew", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-proof-"));
  const run = async (commit: string, figures: Record<string, string>, keep: boolean): Promise<string> => {
    const lines = Object.entries(figures).map(([what, value]) => JSON.stringify({ area: "x", what, value }));
    await Bun.write(join(folder, "figures"), lines.join("\n"));
    await writeProof(folder, join(folder, "figures"), { commit, seed: 7, command: "./test" }, { keep });
    const page = await Bun.file(join(folder, "x.md")).text();
    return page.replaceAll(/\d{4}-\d\d-\d\d/g, "DAY");
  };
  const head = (commit: string): string => `DAY, commit ${commit}, \`./test\`, seed 7.\n\n| what | figure |\n|---|---|\n`;
  expect(await run("a", { kills: "6", "of 3 | 4": "0" }, false)).toBe(`# Proof: x\n\n${head("a")}| kills | 6 |\n| of 3 | 4 | 0 |\n`);
  expect(await run("b", { kills: "200" }, true)).toBe(`# Proof: x\n\n${head("b")}| kills | 200 |\n\n${head("a")}| of 3 | 4 | 0 |\n`);
  expect(await run("c", { "of 3 | 4": "1" }, true)).toBe(`# Proof: x\n\n${head("c")}| of 3 | 4 | 1 |\n\n${head("b")}| kills | 200 |\n`);
  expect(await run("d", { more: "1" }, false)).toBe(`# Proof: x\n\n${head("d")}| more | 1 |\n`);
  await rm(folder, { recursive: true, force: true });
});
