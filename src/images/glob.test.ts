import { expect, test } from "bun:test";
import { checkPattern, matchPath } from "./glob.ts";

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

test("a pattern that does not parse is refused in Go's words", () => {
  for (const bad of ["[", "a[", "a[bc", "x\\", "[]"]) expect(() => checkPattern(bad)).toThrow("syntax error in pattern");
  for (const good of ["", "a*", "a[bc]?", "[^a]", "\\[", "a\\\\"]) expect(() => checkPattern(good)).not.toThrow();
});
