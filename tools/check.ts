/** `bun run check`: the one gate of the source. Types, lint, format and layers, all of them even when one fails. */
import { $ } from "bun";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const folders = ["src", "tools", "tests", "bench", "shipped"].filter(
  (folder) => [...new Bun.Glob("**/*.ts").scanSync(join(root, folder))].length > 0,
);
const steps: Record<string, string[]> = {
  types: ["bun", "check", "--no-script", "--no-pretty"],
  lint: ["node_modules/.bin/oxlint", "--type-aware", "--deny-warnings", ...folders],
  format: ["bun", "fmt", "--no-script", "--check", ...folders],
  layers: ["bun", "tools/layers.ts"],
};

let failed = 0;
for (const [name, command] of Object.entries(steps)) {
  const result = await $`${command}`.cwd(root).nothrow().quiet();
  if (result.exitCode === 0) continue;
  failed++;
  console.error(`${name}:\n${result.stdout.toString()}${result.stderr.toString()}`);
}
console.log(failed === 0 ? "check: types, lint, format and layers hold" : `check: ${failed} of ${Object.keys(steps).length} failed`);
process.exit(failed === 0 ? 0 : 1);
