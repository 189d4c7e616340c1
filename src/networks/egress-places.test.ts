import { expect, test } from "bun:test";
import { egressOf, limitedPlace } from "./egress-places.ts";
import { parseEgress } from "./egress-rules.ts";
import { readPacket } from "./egress-log.ts";
import type { EndpointRow, NetworkRow } from "./rows.ts";

const network: NetworkRow = {
  id: "n",
  name: "net",
  driver: "bridge",
  created: 0n,
  bridge: "br-n",
  config: {
    v: 1,
    internal: false,
    attachable: false,
    enableIPv4: true,
    enableIPv6: true,
    ipam: {
      driver: "default",
      options: null,
      config: [
        { subnet: "172.20.0.0/16", gateway: "172.20.0.1" },
        { subnet: "fd00::/64", gateway: "fd00::1" },
      ],
    },
    options: {},
    labels: {},
  },
};
const endpoint: EndpointRow = {
  id: "e",
  network: "n",
  container: "c",
  hostName: "lv0",
  address4: "172.20.0.2",
  address6: "fd00::2",
  mac: undefined,
  config: {
    v: 1,
    state: "active",
    containerName: "c",
    asked: {},
    name: "eth0",
    connected: false,
    gateway: true,
    exposed: [],
    extraHosts: ["db.example:10.9.8.7", "six.example=[fd00:9::9]", "here.example:host-gateway"],
  },
};

test("subnets inside of others are left out, for the same ports alone", () => {
  const rules = parseEgress("10.1.0.0/16,10.0.0.0/8,10.1.2.3,10.1.2.3:22/tcp,2001:db8::/32,2001:db8::1") ?? [];
  expect(limitedPlace(network, endpoint, rules, undefined).ranges).toEqual([
    { subnet: "10.0.0.0/8" },
    { subnet: "10.1.2.3/32", protocol: "tcp", ports: [22, 22] },
    { subnet: "2001:db8::/32" },
  ]);
});

test("names that no server is asked about: the host's, and those of --add-host", () => {
  const place = limitedPlace(network, endpoint, parseEgress("host.docker.internal:80/tcp *.example/udp other.org") ?? [], "172.17.0.1");
  const web = { protocol: "tcp" as const, ports: [80, 80] as [number, number] };
  expect(place.ranges).toEqual([
    { ...web, subnet: "172.20.0.1/32" },
    { protocol: "udp", subnet: "10.9.8.7/32" },
    { protocol: "udp", subnet: "172.17.0.1/32" },
    { ...web, subnet: "fd00::1/128" },
    { protocol: "udp", subnet: "fd00:9::9/128" },
  ]);
  expect(place.near).toEqual(["172.20.0.0/16", "fd00::/64"]);
  expect(place.named).toEqual([web, { protocol: "udp" }, {}]);
});

test("a container's own list takes the place of its network's", () => {
  const shut = { ...network, config: { ...network.config, options: { egress: "none" } } };
  const own = (egress: string): EndpointRow => ({ ...endpoint, config: { ...endpoint.config, egress } });
  expect(egressOf(network, endpoint)).toBeUndefined();
  expect(egressOf(shut, endpoint)).toEqual([]);
  expect(egressOf(shut, own("any"))).toBeUndefined();
  expect(egressOf(shut, own("a.org"))).toEqual([{ name: "a.org" }]);
  expect(egressOf({ ...shut, config: { ...shut.config, labels: { "lighter.egress": "b.org" } } }, endpoint)).toEqual([{ name: "b.org" }]);
});

test("refused packets are read, whatever is cut off", () => {
  const four = Uint8Array.of(0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 192, 0, 2, 1, 0x80, 0, 1, 0xbb);
  expect(readPacket(four)).toEqual({ from: "10.0.0.2", to: "192.0.2.1", protocol: "tcp", port: 443 });
  expect(readPacket(four.subarray(0, 22))?.port).toBeUndefined();
  expect(readPacket(four.subarray(0, 19))).toBeUndefined();
  const address = (last: number): number[] => [0x20, 1, 0x0d, 0xb8, ...new Array<number>(11).fill(0), last];
  const six = Uint8Array.of(0x60, 0, 0, 0, 0, 16, 0, 64, ...address(1), ...address(2), 17, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 53);
  expect(readPacket(six)).toEqual({ from: "2001:db8::1", to: "2001:db8::2", protocol: "udp", port: 53 });
  for (let length = 0; length < six.length; length++) readPacket(six.subarray(0, length));
  expect(readPacket(Uint8Array.of(0x50))).toBeUndefined();
});
