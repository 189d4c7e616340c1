import { expect, test } from "bun:test";
import { hostOwnerOf, insideOf, outsideOf } from "./user-shift.ts";

const MAP = {
  uid: [
    { containerID: 0, hostID: 100000, size: 1000 },
    { containerID: 1000, hostID: 5000, size: 10 },
  ],
  gid: [{ containerID: 0, hostID: 200000, size: 65536 }],
};

test("owners there and back", () => {
  for (const owner of [
    { uid: 0, gid: 0 },
    { uid: 999, gid: 65535 },
    { uid: 1009, gid: 7 },
  ])
    expect(insideOf(MAP, outsideOf(MAP, owner))).toEqual(owner);
  expect(outsideOf(MAP, { uid: 1003, gid: 5 })).toEqual({ uid: 5003, gid: 200005 });
});

test("who has no number is nobody, and cannot be made", () => {
  expect(insideOf(MAP, { uid: 0, gid: 265536 })).toEqual({ uid: 65534, gid: 65534 });
  expect(() => outsideOf(MAP, { uid: 1010, gid: 0 })).toThrow("the container has no user 1010");
  expect(() => outsideOf(MAP, { uid: 0, gid: 70000 })).toThrow("the container has no group 70000");
});

test("in a copy, who has no number is nobody", () => {
  expect(hostOwnerOf(MAP, { uid: 1003, gid: 5 })).toEqual({ uid: 5003, gid: 200005 });
  expect(hostOwnerOf(MAP, { uid: 1010, gid: 70000 })).toEqual({ uid: 65534, gid: 65534 });
});
