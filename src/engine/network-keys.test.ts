import { expect, test } from "bun:test";
import type { NetworkDefaults } from "../networks/networks.ts";
import { applyNetworkKey, isNetworkKey, NETWORK_KEYS } from "./network-keys.ts";

test.each<[string, unknown, NetworkDefaults]>([
  ["dns", ["9.9.9.9", "2620:fe::fe"], { dns: ["9.9.9.9", "2620:fe::fe"] }],
  ["dns-search", ["a.example"], { dnsSearch: ["a.example"] }],
  ["dns-opts", ["ndots:3"], { dnsOptions: ["ndots:3"] }],
  ["mtu", 1450, { mtu: 1450 }],
  ["mtu", 0, { mtu: 0 }],
  ["icc", false, { icc: false }],
  ["ip-masq", false, { masquerade: false }],
  ["ip-forward", false, { forward: false }],
  ["ip", "127.0.0.1", { hostAddress: "127.0.0.1" }],
  ["fixed-cidr", "10.9.8.0/24", { fixedCidr: "10.9.8.0/24" }],
  ["iptables", true, {}],
  ["userland-proxy", false, {}],
])("%s: %j", (key, value, expected) => {
  const given: NetworkDefaults = {};
  expect(isNetworkKey(key)).toBe(true);
  expect(NETWORK_KEYS).toContain(key);
  applyNetworkKey(given, key, value);
  expect(given).toEqual(expected);
});

test.each<[string, unknown, string]>([
  ["dns", "9.9.9.9", '"dns": it must be a list of strings'],
  ["dns", ["one.example"], '"dns": it must be IP addresses'],
  ["mtu", "1450", '"mtu": it must be 0 or a number of bytes from 68 to 65535'],
  ["mtu", 20, '"mtu": it must be 0 or a number'],
  ["icc", "no", '"icc": it must be true or false'],
  ["ip", "::1", '"ip": it must be an IPv4 address'],
  ["fixed-cidr", "10.9.8.0/33", 'Cannot use "fixed-cidr"'],
  ["fixed-cidr", "fd00::/64", '"fixed-cidr": it must be an IPv4 subnet'],
  ["iptables", false, 'Cannot use "iptables": false'],
])("%s: %j is refused", (key, value, sentence) => {
  expect(() => applyNetworkKey({}, key, value)).toThrow(sentence);
});

test("other keys are not about networks", () => expect(["hosts", "toString"].map(isNetworkKey)).toEqual([false, false]));
