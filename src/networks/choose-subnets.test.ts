import { expect, test } from "bun:test";
import { chooseSubnets, routeWarning } from "./choose-subnets.ts";
import type { NetworkCreateOptions } from "./networks.ts";
import type { NetworkRow } from "./rows.ts";

const plain: NetworkCreateOptions = {
  name: "n",
  driver: "bridge",
  internal: false,
  attachable: false,
  enableIPv4: true,
  enableIPv6: false,
  ipam: {},
  options: {},
  labels: {},
};
const POOLS = [{ base: "10.1.0.0/16", size: 24 }];
const other = { config: { ipam: { config: [{ subnet: "10.50.0.0/16" }] } } } as NetworkRow;

function choose(config: NonNullable<NetworkCreateOptions["ipam"]["config"]>, wishes: Partial<NetworkCreateOptions> = {}, pools = POOLS) {
  return chooseSubnets({ ...plain, ...wishes, ipam: { config } }, { id: "12".repeat(32), pools, taken: [], networks: [other] });
}

test("what is not given is chosen, for each family that is wanted", () => {
  expect(choose([])).toEqual([{ subnet: "10.1.0.0/24", gateway: "10.1.0.1" }]);
  expect(choose([], { enableIPv4: false, enableIPv6: true })).toEqual([
    { subnet: "fd12:1212:1212:1212::/64", gateway: "fd12:1212:1212:1212::1" },
  ]);
  expect(choose([{ subnet: "fd00:5::/64" }], { enableIPv6: true }).map(({ subnet }) => subnet)).toEqual(["10.1.0.0/24", "fd00:5::/64"]);
  expect(choose([], { enableIPv6: true }, [...POOLS, { base: "fd00:7::/48", size: 64 }])[1]?.subnet).toBe("fd00:7::/64");
  expect(choose([{ subnet: "10.1.0.0/24" }, { subnet: "10.1.1.0/24" }]).map(({ subnet }) => subnet)).toEqual([
    "10.1.0.0/24",
    "10.1.1.0/24",
  ]);
  expect(() => choose([], { enableIPv4: false })).toThrow("IPv4 or IPv6 must be enabled");
});

test("what is given is kept", () => {
  const config = { subnet: "10.2.0.0/16", ipRange: "10.2.5.0/24", gateway: "10.2.0.254", auxAddresses: { printer: "10.2.5.9" } };
  expect(choose([config])).toEqual([config]);
});

test.each([
  [{ subnet: "10.2.0.0/33" }, "invalid subnet 10.2.0.0/33"],
  [{ subnet: "ten" }, "invalid subnet ten"],
  [{ subnet: "10.2.0.1/16" }, "invalid subnet 10.2.0.1/16: it should be 10.2.0.0/16"],
  [{ subnet: "10.2.0.0/31" }, "no room for a gateway and a container, give at least a /30"],
  [{ subnet: "0.0.0.0/0" }, "cannot have all addresses"],
  [{ subnet: "10.50.3.0/24" }, "Pool overlaps with other one on this address space"],
  [{ subnet: "10.2.0.0/16", gateway: "10.3.0.1" }, "invalid gateway 10.3.0.1: parent subnet is 10.2.0.0/16"],
  [{ subnet: "10.2.0.0/16", gateway: "10.2.0.0" }, "it is the network address"],
  [{ subnet: "10.2.0.0/16", gateway: "10.2.255.255" }, "it is the broadcast address"],
  [{ subnet: "10.2.0.0/16", gateway: "fd00::1" }, "invalid gateway fd00::1"],
  [{ subnet: "10.2.0.0/16", ipRange: "10.3.0.0/24" }, "invalid ip-range 10.3.0.0/24: parent subnet is 10.2.0.0/16"],
  [{ subnet: "10.2.0.0/16", ipRange: "10.0.0.0/8" }, "invalid ip-range 10.0.0.0/8"],
  [{ subnet: "10.2.0.0/16", ipRange: "10.2.0.1" }, "invalid ip-range 10.2.0.1"],
  [{ subnet: "10.2.0.0/16", auxAddresses: { a: "10.9.0.1" } }, "invalid auxiliary address 10.9.0.1"],
  [
    { subnet: "10.2.0.0/16", auxAddresses: { a: "10.2.0.1" } },
    "failed to allocate secondary ip address (a:10.2.0.1): Address already in use",
  ],
  [{ subnet: "10.2.0.0/16", auxAddresses: { a: "10.2.0.7", b: "10.2.0.7" } }, "(b:10.2.0.7): Address already in use"],
])("%j is refused", (config, text) => {
  expect(() => choose([config as { subnet: string }])).toThrow(text);
});

test("subnets of one network do not overlap each other", () => {
  expect(() => choose([{ subnet: "10.2.0.0/16" }, { subnet: "10.2.4.0/24" }])).toThrow("Pool overlaps");
});

test("a subnet that the host reaches elsewhere is told", () => {
  const taken = [
    { subnet: "0.0.0.0/0", link: "eth0" },
    { subnet: "192.168.1.0/24", link: "eth0" },
    { subnet: "10.2.0.0/16", link: "br-own" },
  ];
  expect(routeWarning([{ subnet: "10.2.0.0/16" }], taken, "br-own")).toBeUndefined();
  expect(routeWarning([{ subnet: "192.168.0.0/16" }], taken, "br-own")).toContain(
    "overlaps 192.168.1.0/24, which the host reaches by eth0",
  );
});
