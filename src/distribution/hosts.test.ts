import { expect, test } from "bun:test";
import type { RegistryHost } from "./distribution.ts";
import { isInsecure, isOrigin, originOf } from "./hosts.ts";

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

test("networks of IPv6 and entries with a scheme", () => {
  expect(isInsecure("[fd00::5]:5000", ["fd00::/8"])).toBe(true);
  expect(isInsecure("[fe00::5]:5000", ["fd00::/8"])).toBe(false);
  expect(isInsecure("registry.example:5000", ["http://registry.example:5000"])).toBe(true);
});

test("the registry's credentials are for its own host, and not over HTTP where that is not allowed", () => {
  const host = (url: string): RegistryHost => ({ url, insecure: false });
  expect(isOrigin(host("https://registry.example"), "registry.example", [])).toBe(true);
  expect(isOrigin(host("https://registry.example:443"), "registry.example", [])).toBe(true);
  expect(isOrigin(host("http://registry.example"), "registry.example", [])).toBe(false);
  expect(isOrigin(host("http://registry.example"), "registry.example", ["registry.example"])).toBe(true);
  expect(isOrigin(host("https://registry.example:5000"), "registry.example", [])).toBe(false);
  expect(isOrigin(host("https://registry-1.docker.io"), "docker.io", [])).toBe(true);
  expect(isOrigin(host("https://mirror.example"), "docker.io", [])).toBe(false);
});

test("a port that cannot be is the caller's fault", () => {
  expect(() => originOf("registry.example:65536", [])).toThrow("address 65536: invalid port");
  expect(originOf("registry.example:65535", []).url).toBe("https://registry.example:65535");
});
