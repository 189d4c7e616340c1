import { createRequire } from "node:module";

const tests = [];

/** A package that was fetched for these programs. */
export const load = createRequire(`${process.env.LIGHTER_PACKAGES}/`);

/** Declares a test; they run in order. */
export function test(name, body) {
  tests.push({ name, body });
}

/** Runs them all and prints `ok NAME` or `not ok NAME: error` for each. */
export async function runAll() {
  for (const { name, body } of tests) {
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("no end after 40 s")), 40_000)));
    try {
      await Promise.race([body(), late]);
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`not ok ${name}: ${String(error?.stack ?? error).replaceAll("\n", "\\n")}`);
    } finally {
      clearTimeout(timer);
    }
  }
}
