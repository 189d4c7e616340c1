import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { close, must, O, openAt, statAt } from "../linux/files.ts";
import { byteString } from "../oci/tar-entry.ts";
import { copyFileAt } from "./copy-file.ts";
import { HERE } from "./tree-path.ts";

/** The kernel shows a file of a page there whose reading is an error. */
const UNREADABLE = "/sys/class/net/lo";

test.skipIf(!existsSync(`${UNREADABLE}/speed`))("a file that cannot be read to its end leaves no half", () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-copy-"));
  const open = (path: string): number => must(openAt(HERE, byteString(path), O.RDONLY | O.DIRECTORY), "open", byteString(path));
  const [from, to] = [open(UNREADABLE), open(folder)];
  try {
    const stat = statAt(from, "speed");
    if (typeof stat === "number") throw new Error(`statx: ${stat}`);
    expect(() => copyFileAt(from, "speed", stat, to, "speed")).toThrow("EINVAL");
    expect(readdirSync(folder)).toEqual([]);
  } finally {
    for (const fd of [from, to]) close(fd);
    rmSync(folder, { recursive: true });
  }
});
