import { expect, test } from "bun:test";
import { isFullId, newId, shortId } from "./ids.ts";

test("ids are 64 hex digits, unlike each other, and never a number in their short form", () => {
  const ids = Array.from({ length: 2000 }, newId);
  expect(ids.every(isFullId)).toBe(true);
  expect(new Set(ids).size).toBe(2000);
  expect(ids.filter((id) => /^[0-9]+$/.test(shortId(id)))).toEqual([]);
});

test("the short form of an id and of a digest has twelve digits", () => {
  expect(shortId("0123456789abcdef")).toBe("0123456789ab");
  expect(shortId("sha256:0123456789abcdef")).toBe("0123456789ab");
});
