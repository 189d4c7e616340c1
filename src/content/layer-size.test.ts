import { expect, test } from "bun:test";
import { checkUnpackedSize, LAYER_TOO_LARGE } from "./layer-size.ts";

const GIB = 2 ** 30;

function codeOf(unpacked: number, packed: number, most?: number): unknown {
  try {
    checkUnpackedSize(unpacked, packed, most);
    return undefined;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

test("small layers may be of any proportion, large ones not, and a configured bound is the only one", () => {
  expect(codeOf(4 * GIB, 1000)).toBeUndefined();
  expect(codeOf(4 * GIB + 1, 1000)).toBe(LAYER_TOO_LARGE);
  expect(codeOf(40 * GIB, GIB)).toBeUndefined();
  expect(codeOf(40 * GIB, GIB / 10)).toBe(LAYER_TOO_LARGE);
  expect(codeOf(40 * GIB, 1000, 50 * GIB)).toBeUndefined();
  expect(codeOf(1001, 1000, 1000)).toBe(LAYER_TOO_LARGE);
});
