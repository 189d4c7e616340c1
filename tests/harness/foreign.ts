import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nodePackages, pythonPackages, rustProgram } from "../../tools/foreign.ts";
import { run, type Outcome } from "../../tools/shell.ts";
import type { TestImageName } from "../../tools/test-images.ts";
import { Ground } from "./ground.ts";
import { SLOW } from "./until.ts";

/** What a program of `tests/foreign` stands on. */
export interface ForeignOptions {
  /** Pulled before, by their short names. */
  images: readonly TestImageName[];
  /** Seconds for the whole program. */
  seconds: number;
  /** More tags for those images: name of the image, and the other name. */
  tags?: Readonly<Record<string, string>>;
}

const FOLDER = join(import.meta.dir, "../foreign");

/**
 * Declares a test for each that a program names (`def test_name` in Python, `test("name"` in JavaScript, `async fn test_name` in Rust), runs the program once on a daemon of
 * its own, and holds each test to the line `ok NAME` that it printed.
 */
export function foreignTests(file: string, { images, seconds, tags = {} }: ForeignOptions): void {
  const names = [...readFileSync(join(FOLDER, file), "utf8").matchAll(/^(?:def test_(\w+)|test\("([^"]+)"|async fn test_(\w+))/gm)].map(
    ([, a, b, c]) => a ?? b ?? c ?? "",
  );
  let ground: Ground | undefined;
  let outcome: Outcome | undefined;
  beforeAll(
    async () => {
      ground = await Ground.lay(images);
      for (const [name, tag] of Object.entries(tags)) await ground.lighter.must("tag", name, tag);
      outcome = await runForeign(ground, file, seconds);
    },
    (seconds + 60) * 1000 * SLOW,
  );
  afterAll(async () => await ground?.[Symbol.asyncDispose]());
  for (const name of names) {
    test(name, () => {
      const lines = (outcome?.stdout ?? "").split("\n");
      const said = lines.find((line) => line === `ok ${name}` || line.startsWith(`not ok ${name}: `)) ?? endOf(outcome);
      expect(said.replaceAll("\\n", "\n")).toBe(`ok ${name}`);
    });
  }
  test("the program ended well", () => expect(`${outcome?.code}: ${outcome?.stderr.slice(-2000)}`).toStartWith("0: "));
}

function endOf(outcome: Outcome | undefined): string {
  return `the program did not get so far: exit code ${outcome?.code}: ${outcome?.stdout.slice(-1000)}${outcome?.stderr.slice(-2000)}`;
}

/** Runs a program of `tests/foreign` with its packages against the daemon of a ground. */
export async function runForeign(ground: Ground, file: string, seconds: number): Promise<Outcome> {
  const timeout = seconds * 1000 * SLOW;
  const env = { ...ground.clientEnv("lighter"), LIGHTER_FOLDER: ground.folder };
  const path = join(FOLDER, file);
  if (file.endsWith(".py")) {
    return await run(["python3", "-B", path], { timeout, env: { ...env, PYTHONPATH: await pythonPackages() } });
  }
  if (file.endsWith(".rs")) return await run([(await rustProgram()) ?? "cargo"], { timeout, env });
  const { node, folder } = await nodePackages();
  return await run([node, path], { timeout, env: { ...env, LIGHTER_PACKAGES: folder } });
}
