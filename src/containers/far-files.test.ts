import { expect, test } from "bun:test";
import { checkFar, isFar } from "./far-files.ts";

const MOUNTS = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /srv/far rw,relatime shared:5 - nfs4 host:/export rw
31 30 0:41 / /srv/far/near rw,relatime - tmpfs tmpfs rw
32 22 0:42 / /srv/with\\040space rw - cifs //host/share rw
33 22 0:43 / /home/me/remote rw - fuse.sshfs me@host: rw`;

test("whether a call on a path may hang for ever", () => {
  expect(isFar("/srv/far", MOUNTS)).toBe(true);
  expect(isFar("/srv/far/a/b", MOUNTS)).toBe(true);
  expect(isFar("/srv/far/near/b", MOUNTS)).toBe(false);
  expect(isFar("/srv/farther", MOUNTS)).toBe(false);
  expect(isFar("/srv/with space/x", MOUNTS)).toBe(true);
  expect(isFar("/home/me/remote", MOUNTS)).toBe(true);
  expect(isFar("/", MOUNTS)).toBe(false);
});

test("files of this machine are not asked", async () => {
  expect(await checkFar("/proc/there/is/none")).toBeUndefined();
});
