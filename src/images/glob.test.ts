import { expect, test } from "bun:test";
import { matchPath } from "./glob.ts";

test.each([
  ["busy*", "busybox", true],
  ["busy*", "busybox/x", false],
  ["*/*", "user/app", true],
  ["*:latest", "busybox:latest", true],
  ["b?sybox", "busybox", true],
  ["[a-c]usybox", "busybox", true],
  ["[^a-c]usybox", "busybox", false],
  ["a.b", "axb", false],
  ["a\\*", "a*", true],
  ["a\\*", "ab", false],
  ["[", "[", false],
])("%s matches %s: %p", (pattern, text, expected) => {
  expect(matchPath(pattern, text)).toBe(expected);
});
