import { expect, test } from "bun:test";
import { TABLE } from "../src/cli/table.ts";
import { manualPages } from "./man.ts";

test("every command has its page, and every flag its entry", async () => {
  const pages = await manualPages();
  for (const [path, { load, hidden }] of Object.entries(TABLE)) {
    const page = pages.get(`lighter-${path.replaceAll(" ", "-")}.1`);
    if (hidden) {
      expect(page).toBeUndefined();
      continue;
    }
    for (const [name, flag] of Object.entries((await load()).flags)) {
      const entry = `\\fB\\-\\-${name.replaceAll("-", "\\-")}\\fR`;
      expect(`${path} --${name}: ${page?.includes(entry)}`).toBe(`${path} --${name}: ${flag.hidden !== true}`);
    }
  }
});

test("pages hold nothing that roff would take for its own", async () => {
  for (const [name, text] of await manualPages()) {
    const requests = text.split("\n").filter((line) => /^[.']/.test(line));
    const odd = requests.filter((line) => !/^\.(TH|SH|TP|PP|B|I)( |$)/.test(line));
    expect(`${name}: ${odd.join("; ")}`).toBe(`${name}: `);
    expect(`${name}: ${/[^\n -~]/.test(text)}`).toBe(`${name}: false`);
  }
});
