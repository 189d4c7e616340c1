import { expect, test } from "bun:test";
import { formatSubnet, parseSubnet } from "./addresses.ts";
import { DEFAULT_ADDRESS_POOLS, chooseSubnet, egressMtu, localSubnet6, takenSubnets } from "./subnets.ts";

const choose = (...taken: string[]): string => formatSubnet(chooseSubnet(DEFAULT_ADDRESS_POOLS, taken.map(parseSubnet)));

test("the first subnet that overlaps nothing", () => {
  expect(choose()).toBe("172.17.0.0/16");
  expect(choose("172.17.5.0/24", "172.18.0.1/32")).toBe("172.19.0.0/16");
  expect(choose("172.16.0.0/12")).toBe("192.168.0.0/20");
  expect(choose("172.16.0.0/12", "192.168.1.0/24")).toBe("192.168.16.0/20");
  expect(choose("172.16.0.0/12", "192.168.0.0/16")).toBe("10.192.0.0/24");
  expect(choose("172.16.0.0/12", "192.168.0.0/16", "10.192.0.0/16", "10.193.0.128/25", "10.193.1.0/24")).toBe("10.193.2.0/24");
  const all = ["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"];
  expect(() => choose(...all)).toThrow("all predefined address pools have been fully subnetted: nothing is free in 172.17.0.0/16");
});

test("pools of every family are gone through in their order, and one that is used up is followed by the next", () => {
  const pools = [
    { base: "10.9.0.0/30", size: 31 },
    { base: "fd00:9::/62", size: 64 },
    { base: "10.8.0.0/31", size: 32 },
  ];
  const taken: string[] = [];
  for (let n = 0; n < 4; n++) taken.push(formatSubnet(chooseSubnet(pools, taken.map(parseSubnet))));
  expect(taken).toEqual(["10.9.0.0/31", "10.9.0.2/31", "10.8.0.0/32", "10.8.0.1/32"]);
  expect(() => chooseSubnet(pools, taken.map(parseSubnet))).toThrow('add a pool to "default-address-pools"');
  expect(formatSubnet(chooseSubnet(pools, [parseSubnet("fd00:9:0:1::/64"), parseSubnet("fd00:9::/64")], 6))).toBe("fd00:9:0:2::/64");
});

test("what is taken: routes and addresses of other links, never a default route", () => {
  const survey = {
    links: [],
    taken: [
      { subnet: "0.0.0.0/0", link: "eth0", priority: 0 },
      { subnet: "10.0.0.0/8", link: "eth0", priority: 0 },
      { subnet: "172.17.0.0/16", link: "lighter0", priority: 0 },
    ],
  };
  expect(takenSubnets(survey, [], ["lighter0"]).map(formatSubnet)).toEqual(["10.0.0.0/8"]);
});

test("the MTU is that of the way out with the lowest metric", () => {
  const link = (name: string, mtu: number): { index: number; name: string; kind: string; mtu: number; master: number } => ({
    index: 1,
    name,
    kind: "",
    mtu,
    master: 0,
  });
  const links = [link("wlan0", 1492), link("tun0", 1380)];
  const taken = [
    { subnet: "0.0.0.0/0", link: "wlan0", priority: 600 },
    { subnet: "0.0.0.0/0", link: "tun0", priority: 50 },
  ];
  expect(egressMtu({ links, taken })).toBe(1380);
  expect(egressMtu({ links, taken: [] })).toBe(1500);
});

test("IPv6 subnets of a network are local, 64 bits long and its own", () => {
  const subnet = localSubnet6(`0123456789abcdef${"0".repeat(48)}`);
  expect(subnet).toBe("fd01:2345:6789:abcd::/64");
});
