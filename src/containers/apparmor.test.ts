import { expect, test } from "bun:test";
import { defaultProfile } from "./apparmor-profile.ts";
import { checkProfile, isLoaded, profileOf } from "./apparmor.ts";

test("who gets which profile", () => {
  const defaults = { appArmorProfile: "docker-default" };
  expect(profileOf({}, defaults, true)).toBe("docker-default");
  expect(profileOf({ Privileged: true }, defaults, true)).toBe("unconfined");
  expect(profileOf({ Privileged: true, SecurityOpt: ["apparmor=mine"] }, defaults, true)).toBe("mine");
  expect(profileOf({ SecurityOpt: ["apparmor=unconfined"] }, defaults, true)).toBe("unconfined");
  expect(profileOf({}, { appArmorProfile: undefined }, true)).toBeUndefined();
  expect(profileOf({ SecurityOpt: ["apparmor=mine"] }, defaults, false)).toBeUndefined();
});

test("the profile names its ABI only where that exists, and braces are even", () => {
  expect(defaultProfile(() => true)).toStartWith("abi <abi/3.0>,\n");
  const plain = defaultProfile(() => false);
  expect(plain).not.toContain("abi/");
  expect(plain.split("{").length).toBe(plain.split("}").length);
});

test("the kernel's list", () => {
  expect(isLoaded("lsb_release (enforce)\ndocker-default (enforce)\n")).toBe(true);
  expect(isLoaded("docker-default2 (enforce)\n")).toBe(false);
});

test("a profile that is not loaded is refused by name", () => {
  const list = (): string => "mine (enforce)\n";
  expect(() => checkProfile("other", list)).toThrow('unable to apply apparmor profile: apparmor profile "other" is not loaded');
  for (const name of [undefined, "unconfined", "mine", ":ns:other", "mine//&other"]) expect(() => checkProfile(name, list)).not.toThrow();
});
