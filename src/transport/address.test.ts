import { expect, test } from "bun:test";
import { parseAddress } from "./address.ts";

test("unix paths and TCP addresses", () => {
  expect(parseAddress("unix:///run/x.sock")).toEqual({ kind: "unix", path: "/run/x.sock" });
  expect(parseAddress("/run/x.sock")).toEqual({ kind: "unix", path: "/run/x.sock" });
  expect(parseAddress("tcp://127.0.0.1:9999")).toEqual({ kind: "tcp", hostname: "127.0.0.1", port: 9999 });
  expect(parseAddress("tcp://")).toEqual({ kind: "tcp", hostname: "127.0.0.1", port: 2375 });
  expect(parseAddress("tcp://[::1]:80")).toEqual({ kind: "tcp", hostname: "::1", port: 80 });
  const tls = { cert: "c", key: "k" };
  expect(parseAddress("tcp://0.0.0.0", { tls })).toEqual({ kind: "tcp", hostname: "0.0.0.0", port: 2376, tls });
});

test("TCP without TLS is for loopback only, unless insisted on", () => {
  for (const host of ["tcp://0.0.0.0:2375", "tcp://10.0.0.1:2375", "tcp://[::]:2375", "tcp://example.com"]) {
    expect(() => parseAddress(host)).toThrow("without TLS");
    expect(parseAddress(host, { plainTcp: true }).kind).toBe("tcp");
  }
  expect(parseAddress("tcp://localhost:1").kind).toBe("tcp");
});

test("anything else is refused", () => {
  for (const text of ["", "http://x", "unix://", "tcp://host:99999", "tcp://host:port", "npipe:////./pipe/docker"]) {
    expect(() => parseAddress(text)).toThrow(`Cannot listen on "${text}"`);
  }
});

test("sockets of the service manager: all, by number, by name", () => {
  expect(parseAddress("fd://")).toEqual({ kind: "fd", which: "" });
  expect(parseAddress("fd://*")).toEqual({ kind: "fd", which: "" });
  expect(parseAddress("fd://3")).toEqual({ kind: "fd", which: "3" });
  expect(parseAddress("fd://door")).toEqual({ kind: "fd", which: "door" });
});
