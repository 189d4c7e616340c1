import { expect, test } from "bun:test";
import { bindingsOf } from "./bindings.ts";

const none = { portBindings: {}, exposed: [], publishAll: false };

test("bindings: addresses, ranges, protocols, and -P for what has none", () => {
  const request = {
    portBindings: {
      "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080" }, { HostPort: "9000-9010" }],
      "53/udp": [{ HostIp: "[::1]", HostPort: "" }],
    },
    exposed: ["80/tcp", "443"],
    publishAll: true,
  };
  expect(bindingsOf(request)).toEqual([
    { protocol: "tcp", containerPort: 80, hostAddress: "127.0.0.1", first: 8080, last: 8080 },
    { protocol: "tcp", containerPort: 80, hostAddress: "", first: 9000, last: 9010 },
    { protocol: "udp", containerPort: 53, hostAddress: "::1", first: 0, last: 0 },
    { protocol: "tcp", containerPort: 443, hostAddress: "", first: 0, last: 0 },
  ]);
  expect(bindingsOf({ ...none, exposed: ["80/tcp"] })).toEqual([]);
});

test.each([
  [{ "80/tcp": [{ HostPort: "99999" }] }, 'invalid port specification: "99999"'],
  [{ "80/tcp": [{ HostPort: "20-10" }] }, 'invalid port specification: "20-10"'],
  [{ "80/tcp": [{ HostPort: "x" }] }, 'invalid port specification: "x"'],
  [{ "0/tcp": [{ HostPort: "1" }] }, 'invalid port specification: "0/tcp"'],
  [{ "80/icmp": [{ HostPort: "1" }] }, "invalid proto: icmp"],
  [{ "80/tcp": [{ HostIp: "localhost", HostPort: "1" }] }, "invalid IP address: localhost"],
])("%o is refused", (portBindings, message) => {
  expect(() => bindingsOf({ ...none, portBindings })).toThrow(message);
});
