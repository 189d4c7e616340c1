import { expect, test } from "bun:test";
import { devicesOf } from "./devices.ts";

test("nothing is denied after the first rule, which denies everything: systemd's driver takes no other", () => {
  const { rules } = devicesOf({ DeviceCgroupRules: ["c 42:* rmw"] });
  expect(rules[0]).toEqual({ allow: false, access: "rwm" });
  expect(rules.slice(1).every(({ allow }) => allow)).toBe(true);
  expect(rules.at(-1)).toEqual({ allow: true, type: "c", major: 42, access: "rmw" });
});
