import { expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { watchFile } from "./file-changes.ts";

test("each watcher hears of its own file, until it is closed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-changes-"));
  try {
    const [one, two] = [join(folder, "one"), join(folder, "two")];
    for (const path of [one, two]) writeFileSync(path, "");
    const heard: string[] = [];
    const watches = [watchFile(one, () => heard.push("one")), watchFile(two, () => heard.push("two"))];
    appendFileSync(two, "x");
    for (let tries = 0; heard.length === 0 && tries < 2000; tries++) await Bun.sleep(10);
    expect(heard).toEqual(["two"]);
    watches[1]?.[Symbol.dispose]();
    appendFileSync(two, "y");
    appendFileSync(one, "y");
    for (let tries = 0; heard.length === 1 && tries < 2000; tries++) await Bun.sleep(10);
    expect(heard).toEqual(["two", "one"]);
    rmSync(one);
    watches[0]?.[Symbol.dispose]();
    watches[0]?.[Symbol.dispose]();
    expect(() => watchFile(join(folder, "none"), () => undefined)).toThrow(/ENOENT/);
    const again = join(folder, "again");
    writeFileSync(again, "");
    using _ = watchFile(again, () => heard.push("again"));
    appendFileSync(again, "z");
    for (let tries = 0; heard.length === 2 && tries < 2000; tries++) await Bun.sleep(10);
    expect(heard).toEqual(["two", "one", "again"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
