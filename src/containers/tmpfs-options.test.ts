import { expect, test } from "bun:test";
import { checkTmpfsOptions } from "./tmpfs-options.ts";

test("flags and settings of tmpfs are taken", () => {
  for (const good of ["", "ro", "rw,noexec,size=1m,mode=1777,uid=5,gid=6", "nr_inodes=10,mpol=local"])
    expect(() => checkTmpfsOptions(good)).not.toThrow();
});

test("anything else is named", () => {
  expect(() => checkTmpfsOptions("size=1m,foo=bar")).toThrow('invalid tmpfs option ["foo" "bar"]');
  expect(() => checkTmpfsOptions("ro,foo")).toThrow('invalid tmpfs option ["foo"]');
});
