import { expect, test } from "bun:test";
import { parseIdMap } from "./id-map.ts";

test("who is outside, and who is inside", () => {
  expect(parseIdMap("")).toEqual({});
  expect(parseIdMap("true")).toEqual({});
  expect(parseIdMap("1000:100")).toEqual({ outside: { uid: 1000, gid: 100 } });
  expect(parseIdMap("0:0@999:998")).toEqual({ outside: { uid: 0, gid: 0 }, inside: { uid: 999, gid: 998 } });
  expect(parseIdMap("@999:999")).toEqual({ inside: { uid: 999, gid: 999 } });
  expect(parseIdMap("4294967294:0")).toEqual({ outside: { uid: 4_294_967_294, gid: 0 } });
});

test("what is no pair of numbers is refused", () => {
  for (const text of ["1000", "a:b", "1:2:3", "1:2@3", "1:2@3:4@5:6", "-1:0", "4294967295:0", "1:", ":1", "1 :1", "false"])
    expect(() => parseIdMap(text)).toThrow(`invalid value for idmap: ${text}`);
});
