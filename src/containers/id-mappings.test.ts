import { expect, test } from "bun:test";
import type { IdMapping } from "../oci/spec.ts";
import { LAST_ID } from "../wire/id-map.ts";
import { checkIdMaps, mappingsOf, resolveIdMap } from "./id-mappings.ts";

const extent = (containerID: number, hostID: number, size: number): IdMapping => ({ containerID, hostID, size });

test("one number changes, those in the way are nobody's, all others stay", () => {
  const { uid, gid } = mappingsOf({ uid: 1000, gid: 5 }, { uid: 0, gid: 5 });
  expect(uid).toEqual([extent(1000, 0, 1), extent(1, 1, 999), extent(1001, 1001, LAST_ID - 1000)]);
  expect(gid).toEqual([extent(0, 0, LAST_ID + 1)]);
});

test("neighbours and the ends of the range", () => {
  expect(mappingsOf({ uid: 1, gid: LAST_ID }, { uid: 0, gid: 0 })).toEqual({
    uid: [extent(1, 0, 1), extent(2, 2, LAST_ID - 1)],
    gid: [extent(LAST_ID, 0, 1), extent(1, 1, LAST_ID - 1)],
  });
  expect(mappingsOf({ uid: 0, gid: 7 }, { uid: 999, gid: 3 })).toEqual({
    uid: [extent(0, 999, 1), extent(1, 1, 998), extent(1000, 1000, LAST_ID - 999)],
    gid: [extent(0, 0, 3), extent(7, 3, 1), extent(4, 4, 3), extent(8, 8, LAST_ID - 7)],
  });
});

test("the owner of the source and the container's user, unless they are named; the same on both sides needs nothing", () => {
  const root = { uid: 0, gid: 0 };
  expect(resolveIdMap({}, "/proc/1", () => root)).toBeUndefined();
  expect(resolveIdMap({ outside: { uid: 7, gid: 8 } }, "/", () => root)).toEqual(mappingsOf({ uid: 7, gid: 8 }, root));
  expect(resolveIdMap({ inside: { uid: 7, gid: 8 } }, "/proc/1", () => root)).toEqual(mappingsOf(root, { uid: 7, gid: 8 }));
});

test("a runtime that cannot is named", () => {
  const mount = { type: "bind", source: "/a", destination: "/b", rw: true, mode: "", propagation: "", fromBind: false } as const;
  expect(() => checkIdMaps([mount], { name: "runc", version: "1.1.5", idmap: false })).not.toThrow();
  expect(() => checkIdMaps([{ ...mount, idMap: {} }], { name: "runc", version: "1.1.5", idmap: false })).toThrow(
    'Cannot map the owners of "/b": runtime "runc" (1.1.5) does not do that',
  );
  expect(() => checkIdMaps([{ ...mount, idMap: {} }], { name: "crun", version: "1.8.1", idmap: true })).not.toThrow();
});
