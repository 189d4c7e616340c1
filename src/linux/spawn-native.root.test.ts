import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";

/** Runs in a process of its own, as its main thread leaves the others' working directory for good. */
const SCRIPT = `
import { openFd } from "${import.meta.dir}/fd.ts";
import { libc } from "${import.meta.dir}/libc.ts";
import { withOverlay } from "${import.meta.dir}/overlay.ts";
import { detachInNamespace } from "${import.meta.dir}/spawn-native.ts";
import { readFileSync, readlinkSync } from "node:fs";
const directory = process.argv[2];
const before = readlinkSync("/proc/self/ns/mnt");
libc().unshare(0x200);
const hostMounts = openFd("/proc/self/ns/mnt", 0);
const overlay = { target: directory, lower: [directory + "/b", directory + "/a"], upper: directory + "/upper", work: directory + "/work", volatile: false };
const fd = withOverlay(overlay, (plan) => detachInNamespace({ hostMounts, hybrid: false, overlay: plan }));
console.log(readFileSync("/proc/self/fd/" + fd + "/name", "utf8"), readFileSync("/proc/self/fd/" + fd + "/below", "utf8"));
console.log(readlinkSync("/proc/self/ns/mnt") === before, readFileSync("/proc/self/mountinfo", "utf8").includes(directory));
`;

describe.skipIf(process.getuid?.() !== 0)("detachInNamespace", () => {
  test("gives a mount that nobody else sees, and comes back", async () => {
    const directory = mkdtempSync("/tmp/lighter-detach-");
    try {
      for (const name of ["a", "b", "upper", "work"]) mkdirSync(`${directory}/${name}`);
      writeFileSync(`${directory}/a/name`, "a");
      writeFileSync(`${directory}/a/below`, "below");
      writeFileSync(`${directory}/b/name`, "b");
      writeFileSync(`${directory}/script.ts`, SCRIPT);
      const { stdout } = await Bun.$`bun ${directory}/script.ts ${directory}`.quiet();
      expect(stdout.toString()).toBe("b below\ntrue false\n");
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
