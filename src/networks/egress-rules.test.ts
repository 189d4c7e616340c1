import { expect, test } from "bun:test";
import { namesMatch, parseEgress, portsKey } from "./egress-rules.ts";

test("what a list allows", () => {
  expect(parseEgress(undefined)).toBeUndefined();
  expect(parseEgress("any")).toBeUndefined();
  expect(parseEgress("none")).toEqual([]);
  expect(parseEgress("")).toEqual([]);
  expect(parseEgress("Example.ORG:443/tcp, *.debian.org., 10.1.2.3/8")).toEqual([
    { protocol: "tcp", ports: [443, 443], name: "example.org" },
    { name: "*.debian.org" },
    { subnet: "10.0.0.0/8" },
  ]);
  expect(parseEgress("bücher.example:8000-8100")).toEqual([
    { protocol: "tcp", ports: [8000, 8100], name: "xn--bcher-kva.example" },
    { protocol: "udp", ports: [8000, 8100], name: "xn--bcher-kva.example" },
  ]);
  expect(parseEgress("[2001:db8::1]:53/udp 2001:db8::/32 [fd00::]/8:22/tcp 192.0.2.7/icmp")).toEqual([
    { protocol: "udp", ports: [53, 53], subnet: "2001:db8::1/128" },
    { subnet: "2001:db8::/32" },
    { protocol: "tcp", ports: [22, 22], subnet: "fd00::/8" },
    { protocol: "icmp", subnet: "192.0.2.7/32" },
  ]);
  expect(parseEgress(":53/udp")).toEqual([
    { protocol: "udp", ports: [53, 53], subnet: "0.0.0.0/0" },
    { protocol: "udp", ports: [53, 53], subnet: "::/0" },
  ]);
});

test("what cannot be understood is refused, never taken for less", () => {
  for (const bad of [
    "none,example.org",
    "any,10.0.0.0/8",
    "a b/none",
    "10.0.0.0/33",
    "1.2.3",
    "-x.org",
    "a..b",
    "*.",
    "x*.org",
    "fe80::1%eth0",
  ])
    expect(() => parseEgress(bad), bad).toThrow(/^invalid egress rule/);
  for (const bad of ["a:0", "a:65536", "a:9-8", "a:http", "a:", "a:80/icmp", "a:80/quic", "[::1", "[]:80/x"])
    expect(() => parseEgress(bad), bad).toThrow(/^invalid egress rule/);
});

test("names and patterns", () => {
  expect(namesMatch("example.org", "example.org")).toBe(true);
  expect(namesMatch("example.org", "www.example.org")).toBe(false);
  expect(namesMatch("*.example.org", "a.b.example.org")).toBe(true);
  expect(namesMatch("*.example.org", "example.org")).toBe(false);
  expect(namesMatch("*.example.org", "badexample.org")).toBe(false);
  expect(namesMatch("*", "x")).toBe(true);
});

test("one key for the same ports", () => {
  expect((parseEgress("a:443 b:1-2/udp c d/sctp") ?? []).map(portsKey)).toEqual(["tcp_443", "udp_443", "udp_1_2", "any", "sctp"]);
});
