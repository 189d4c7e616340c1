import { expect, test } from "bun:test";
import { whiteoutName, whiteoutOf } from "./whiteout.ts";

test("names of a layer that remove names below", () => {
  expect(whiteoutOf("file")).toBeUndefined();
  expect(whiteoutOf(".whatever")).toBeUndefined();
  expect(whiteoutOf(".wh.file")).toEqual({ kind: "remove", name: "file" });
  expect(whiteoutOf(whiteoutName("a.wh.b"))).toEqual({ kind: "remove", name: "a.wh.b" });
  expect(whiteoutOf(".wh..wh..opq")).toEqual({ kind: "opaque" });
});

test("AUFS' own names and removals of the directory itself mean nothing", () => {
  for (const name of [".wh..wh.plnk", ".wh..wh.aufs", ".wh.", ".wh..", ".wh..."]) expect(whiteoutOf(name)).toEqual({ kind: "ignore" });
});
