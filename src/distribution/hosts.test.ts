import { expect, test } from "bun:test";
import { isInsecure } from "./hosts.ts";

test("loopback is insecure by default, others by name, port or network", () => {
  for (const host of ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"]) expect(isInsecure(host, [])).toBe(true);
  expect(isInsecure("registry.example:5000", [])).toBe(false);
  expect(isInsecure("registry.example:5000", ["registry.example:5000"])).toBe(true);
  expect(isInsecure("registry.example:5000", ["registry.example"])).toBe(true);
  expect(isInsecure("registry.example:5001", ["registry.example:5000"])).toBe(false);
  expect(isInsecure("10.1.2.3:5000", ["10.0.0.0/8"])).toBe(true);
  expect(isInsecure("11.1.2.3:5000", ["10.0.0.0/8"])).toBe(false);
  expect(isInsecure("200.1.2.3", ["200.0.0.0/8"])).toBe(true);
});
