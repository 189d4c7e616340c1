import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runStep } from "./run-step.ts";
import { secondLook, type SecondLook } from "./second-look.ts";
import type { Options, Step } from "./steps.ts";

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "lighter-second-"))));
afterAll(async () => await rm(folder, { recursive: true, force: true }));

const options: Options = { full: false, vm: false, once: false, seed: 1, pattern: undefined };

/** A step of one file with a test that passes and one that fails so many times, told by a file that counts. */
async function step(name: string, failures: number): Promise<Step> {
  const file = join(folder, `${name}.test.ts`);
  await Bun.write(
    file,
    `import { expect, test } from "bun:test";
    test("steady", () => expect(1).toBe(1));
    test("chance", async () => {
      const count = Bun.file(${JSON.stringify(join(folder, name))});
      const before = (await count.exists()) ? Number(await count.text()) : 0;
      await Bun.write(count, String(before + 1));
      expect(before).toBeGreaterThanOrEqual(${failures});
    });`,
  );
  return { name, files: [file], deadline: 60, isolated: false };
}

async function run(name: string, failures: number, asked: Partial<Options> = {}, look: SecondLook = { asked: 0, unsteady: [] }) {
  const made = await step(name, failures);
  const all = { ...options, ...asked };
  const { counts } = await secondLook(await runStep(made, all, join(folder, "figures")), made, all, look, join(folder, "figures"));
  return { passed: counts.passed, failed: counts.failed, ...look };
}

test("what fails once and then passes counts as passed, and is named", async () => {
  expect(await run("twice", 1)).toEqual({ passed: 2, failed: [], asked: 1, unsteady: ["twice: chance"] });
});

test("what fails both times is a failure", async () => {
  expect(await run("never", 2)).toEqual({ passed: 1, failed: ["chance"], asked: 1, unsteady: [] });
});

test("nothing is asked again with --once, nor where many steps failed, nor where all passed", async () => {
  expect(await run("once", 1, { once: true })).toEqual({ passed: 1, failed: ["chance"], asked: 0, unsteady: [] });
  expect(await run("many", 1, {}, { asked: 3, unsteady: [] })).toEqual({ passed: 1, failed: ["chance"], asked: 3, unsteady: [] });
  expect(await run("good", 0)).toEqual({ passed: 2, failed: [], asked: 0, unsteady: [] });
});
