import { expect, test } from "bun:test";
import { checkDevices, devicesOf } from "./devices.ts";

test("nothing is denied after the first rule, which denies everything: systemd's driver takes no other", () => {
  const { rules } = devicesOf({ DeviceCgroupRules: ["c 42:* rmw"] });
  expect(rules[0]).toEqual({ allow: false, access: "rwm" });
  expect(rules.slice(1).every(({ allow }) => allow)).toBe(true);
  expect(rules.at(-1)).toEqual({ allow: true, type: "c", major: 42, access: "rmw" });
});

test("a privileged container has every device, and those it renames twice", () => {
  const { devices, rules } = devicesOf({
    Privileged: true,
    Devices: [
      { PathOnHost: "/dev/zero", PathInContainer: "/dev/nil", CgroupPermissions: "r" },
      { PathOnHost: "/dev/zero", PathInContainer: "/dev/zero", CgroupPermissions: "rwm" },
    ],
  });
  expect(devices.filter(({ path }) => path === "/dev/nil" || path === "/dev/zero")).toMatchObject([
    { path: "/dev/nil", type: "c", major: 1, minor: 5 },
  ]);
  expect(rules).toEqual([{ allow: true, access: "rwm" }]);
});

test("words are checked at once, the devices themselves at the start", () => {
  checkDevices({ Devices: [{ PathOnHost: "/dev/nosuch" }], DeviceCgroupRules: ["a *:* rwm"] });
  expect(() => devicesOf({ Devices: [{ PathOnHost: "/dev/nosuch" }] })).toThrow(
    'error gathering device information while adding custom device "/dev/nosuch": no such file or directory',
  );
  expect(() => checkDevices({ Devices: [{ PathOnHost: "/dev/null", CgroupPermissions: "q" }] })).toThrow("invalid device mode: q");
  expect(() => checkDevices({ DeviceCgroupRules: ["c 1:1 x"] })).toThrow("invalid device cgroup rule format: 'c 1:1 x'");
});
