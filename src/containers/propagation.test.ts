import { expect, test } from "bun:test";
import { checkPropagation } from "./propagation.ts";

const MOUNTS = `1 0 8:1 / / rw,relatime - ext4 /dev/sda rw
2 1 0:5 / /shared rw shared:7 - tmpfs tmpfs rw
3 1 0:6 / /slave rw master:7 - tmpfs tmpfs rw
4 2 0:7 / /shared/with\\040space rw - tmpfs tmpfs rw
`;
const check = (source: string, propagation: string) => (): void => checkPropagation(source, propagation, () => MOUNTS);

test("a bind can pass on what its mount passes on", () => {
  for (const [source, propagation] of [
    ["/shared/x", "rshared"],
    ["/shared", "slave"],
    ["/slave/x", "rslave"],
    ["/plain", "rprivate"],
    ["/plain", ""],
  ] as const)
    expect(check(source, propagation)).not.toThrow();
});

test("and is refused otherwise, with Docker's sentences", () => {
  expect(check("/plain", "shared")).toThrow("path /plain is mounted on / but it is not a shared mount");
  expect(check("/slave/x", "rshared")).toThrow("path /slave/x is mounted on /slave but it is not a shared mount");
  expect(check("/plain", "rslave")).toThrow("path /plain is mounted on / but it is not a shared or slave mount");
  expect(check("/shared/with space/x", "rslave")).toThrow("is mounted on /shared/with space but it is not");
  expect(check("/sharedx", "rshared")).toThrow("is mounted on / but");
});
