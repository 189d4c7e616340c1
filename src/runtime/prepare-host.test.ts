import { expect, test } from "bun:test";
import { isShared } from "./prepare-host.ts";

const TABLE = `27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw
31 30 0:26 / /run/private rw - tmpfs tmpfs rw
32 27 0:27 / /odd\\040name rw - tmpfs tmpfs rw
`;

test("the mount around a path decides", () => {
  expect(isShared("/run/lighter/rootfs", TABLE)).toBe(true);
  expect(isShared("/run/private/lighter", TABLE)).toBe(false);
  expect(isShared("/run/privateer", TABLE)).toBe(true);
  expect(isShared("/var/lib", TABLE)).toBe(true);
  expect(isShared("/odd name/x", TABLE)).toBe(false);
});

test("of two mounts on one place the later counts", () => {
  expect(isShared("/run/x", `${TABLE}40 30 0:30 / /run rw - tmpfs tmpfs rw\n`)).toBe(false);
});
