import { expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { codeMappings, releaseStartPages } from "./start-pages.ts";

/** Bytes of this program's code that are in its memory now. */
function residentCode(): number {
  const [first] = codeMappings(readFileSync("/proc/self/maps", "utf8"), readlinkSync("/proc/self/exe"));
  const smaps = readFileSync("/proc/self/smaps", "utf8");
  const entry = smaps.slice(smaps.search(new RegExp(`^0*${first?.from.toString(16)}-`, "m")));
  return Number(/^Rss: +(\d+) kB$/m.exec(entry)?.[1]) * 1024;
}

test("code that only the start needed is not in memory, and what is used comes back", () => {
  const before = residentCode();
  const released = releaseStartPages();
  expect(released).toBeGreaterThanOrEqual(before);
  expect(residentCode()).toBeLessThan(before * 0.8);
  expect(JSON.parse(JSON.stringify({ a: [1, "ü"] }))).toEqual({ a: [1, "ü"] });
});

test("only code of the program's own file counts", () => {
  const maps = [
    "00200000-01a39000 r--p 00000000 08:01 77                         /opt/a program",
    "01a40000-0684a000 r-xp 01838000 08:01 77                         /opt/a program",
    "0684a000-0685f000 rw-p 06641000 08:01 77                         /opt/a program",
    "7f0000000000-7f0000001000 r-xp 00000000 00:00 0                  /opt/a program",
    "7f1000000000-7f1000001000 r-xp 00000000 08:01 78                 /usr/lib/libc.so.6",
    "7f2000000000-7f2000001000 r-xp 00000000 00:00 0 ",
  ].join("\n");
  expect(codeMappings(maps, "/opt/a program")).toEqual([{ from: 0x01a40000, to: 0x0684a000 }]);
});
