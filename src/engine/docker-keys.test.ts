import { expect, test } from "bun:test";
import { applyDockerKey } from "./docker-keys.ts";

test("what is refused is refused in a sentence that names the key, and not where it asks for nothing", () => {
  const notes: string[] = [];
  expect(applyDockerKey(notes, "apparmor-profile", "")).toBe(true);
  expect(() => applyDockerKey(notes, "apparmor-profile", "mine")).toThrow('Cannot use "apparmor-profile"');
  expect(() => applyDockerKey(notes, "apparmor-profile", true)).toThrow('Cannot use "apparmor-profile": it must be a string');
  expect(notes).toEqual([]);
});

test("keys that are honoured, and unknown ones, are left to others", () => {
  expect(applyDockerKey([], "dns", ["192.0.2.53"])).toBe(false);
  expect(applyDockerKey([], "toString", "")).toBe(false);
});
