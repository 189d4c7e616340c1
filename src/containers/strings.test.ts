import { expect, test } from "bun:test";
import { refuseNul } from "./strings.ts";

test("a NUL is refused wherever it stands, with the name of the field", () => {
  expect(() => refuseNul({ WorkingDir: "/a\0b" })).toThrow('invalid WorkingDir: "/a\\u0000b" contains a NUL byte');
  expect(() => refuseNul({ HostConfig: { Binds: ["/a:/b", "/c\0:/d"] } })).toThrow("invalid HostConfig.Binds");
  expect(() => refuseNul({ Labels: { "a\0": "b" } })).toThrow("invalid Labels");
  refuseNul({ Cmd: ["a", "b"], Tty: true, HostConfig: { Memory: 5, Binds: null } });
});
