import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";

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

/** 500 layers as a kernel before 6.5 gets them, and a view of one more. */
const TALL = SCRIPT.replace(
  /^const overlay.*$/m,
  `
const lower = Array.from({ length: 501 }, (_, index) => directory + "/layers/" + (501 - index)).map((path) => path + "x".repeat(60));
const detach = (overlay) => withOverlay(overlay, (plan) => detachInNamespace({ hostMounts, hybrid: false, overlay: plan }), false);
const wanted = { target: directory, lower: process.argv[3] === "view" ? lower : lower.slice(1), upper: "", work: "", volatile: false };
`,
)
  .replace(
    /^const fd.*$/m,
    `
const fd = detachView(wanted, detach);
console.log(readdirSync("/proc/self/fd/" + fd + "/many").length, readlinkSync("/proc/thread-self/cwd"));
`,
  )
  .replace("{ withOverlay }", "{ detachView, withOverlay }")
  .replace("{ readFileSync, ", "{ readdirSync, readFileSync, ");

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

  test("500 layers fit in one page of options, and a view of one more in two overlays", async () => {
    // In memory: many small files take long on a busy disk.
    const directory = mkdtempSync(`${existsSync("/dev/shm") ? "/dev/shm" : "/tmp"}/lighter-detach-`);
    try {
      for (let layer = 1; layer <= 501; layer++) {
        const path = `${directory}/layers/${layer}${"x".repeat(60)}`;
        mkdirSync(`${path}/many`, { recursive: true });
        for (const file of ["name", "below", `many/${layer}`]) writeFileSync(`${path}/${file}`, String(layer));
      }
      // What a high layer removes of a low one stays removed.
      await Bun.$`mknod ${`${directory}/layers/501${"x".repeat(60)}/many/1`} c 0 0`.quiet();
      writeFileSync(`${directory}/script.ts`, TALL);
      for (const [what, top] of [
        ["layers", "500"],
        ["view", "501"],
      ] as const) {
        const { stdout } = await Bun.$`bun ${directory}/script.ts ${directory} ${what}`.quiet();
        expect(stdout.toString()).toBe(`500 /\n${top} ${top}\ntrue false\n`);
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }, 120_000);
});
