import { expect, test } from "bun:test";
import { takesLayersOneByOne } from "./overlay.ts";

test("kernels that take the layers of an overlay one by one", () => {
  for (const kernel of ["6.5.0", "6.12.1-amd64", "7.0.0"]) expect(takesLayersOneByOne(kernel)).toBe(true);
  for (const kernel of ["6.1.0-50-cloud-amd64", "5.15.0", "6.4.9"]) expect(takesLayersOneByOne(kernel)).toBe(false);
});
