import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { ensureMemory, leaveMemory } from "./memory-directory.ts";

const TMPFS = 0x01021994;

describe.skipIf(process.getuid?.() !== 0 || statfsSync("/tmp").type === TMPFS)("ensureMemory", () => {
  test("mounts once, alone and private; and takes it off again", () => {
    const directory = `${mkdtempSync("/tmp/lighter-memory-")}/run`;
    try {
      expect(ensureMemory(directory)).toBe(true);
      expect(ensureMemory(directory)).toBe(false);
      writeFileSync(`${directory}/file`, "");
      const line = readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .find((entry) => entry.includes(` ${directory} `));
      expect(line).toContain(" - tmpfs ");
      expect(line).not.toContain("shared:");
      leaveMemory(directory);
      expect(existsSync(`${directory}/file`)).toBe(false);
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(directory);
    } finally {
      rmSync(directory.replace(/\/run$/, ""), { recursive: true, force: true });
    }
  });
});
