/** The page that names a test for each clause of the distribution specification names tests that exist, and all that are by its sections. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const ROW = /^\| (.+?) +\| (registry|client) +\| .+? +\| `([^`]+)`: (.+?) +\|$/;
const SPEC_TESTS = [
  "src/registry/spec-pull.test.ts",
  "src/registry/spec-push.test.ts",
  "src/registry/spec-manage.test.ts",
  "src/distribution/spec-client.test.ts",
];

const rows = readFileSync(join(root, "docs/distribution-spec.md"), "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, section, side, file, title] = ROW.exec(line) ?? [];
    return section === undefined || file === undefined || title === undefined ? [] : [{ section, side, file, title }];
  });

/** The titles of a file's tests, as they stand there. */
function titlesOf(file: string): Set<string> {
  const text = readFileSync(join(root, file), "utf8");
  const titles = text.matchAll(/^\s*(?:test(?:\.\w+\([^\n]*\))?\(|\]\)\()(["'`])(.*?)\1, (?:async )?\(/gm);
  return new Set([...titles].map(([, , title = ""]) => title.replace(/\\(["'`])/g, "$1")));
}

test("each clause's test exists", () => {
  expect(rows.length).toBeGreaterThan(60);
  for (const { section, file, title } of rows) expect([section, title, titlesOf(file).has(title)]).toEqual([section, title, true]);
});

test("each section that the tests are grouped by is on the page, for the side that they test", () => {
  for (const file of SPEC_TESTS) {
    const sections = [...readFileSync(join(root, file), "utf8").matchAll(/^describe\("([^"]+)"/gm)].map(([, section]) => section);
    expect(sections.length).toBeGreaterThan(3);
    const side = file.includes("client") ? "client" : "registry";
    const named = rows.filter((row) => row.side === side).flatMap((row) => row.section.split(" / "));
    for (const section of sections) expect([file, section, named.includes(section ?? "")]).toEqual([file, section, true]);
  }
});
