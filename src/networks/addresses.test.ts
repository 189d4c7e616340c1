import { expect, test } from "bun:test";
import {
  addressBytes,
  addressOfBytes,
  contains,
  formatAddress,
  formatMac,
  formatSubnet,
  macOf,
  overlaps,
  parseAddress,
  parseInterface,
  parseMac,
  parseSubnet,
  sizeOf,
} from "./addresses.ts";

test.each([
  ["172.17.0.2", "172.17.0.2"],
  ["255.255.255.255", "255.255.255.255"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["::ffff:10.0.0.1", "::ffff:a00:1"],
])("%s is written as %s", (text, written) => {
  const address = parseAddress(text);
  expect(address).toBeDefined();
  if (address === undefined) return;
  expect(formatAddress(address)).toBe(written);
  expect(formatAddress(addressOfBytes(addressBytes(address)))).toBe(written);
});

test.each(["", "1.2.3", "1.2.3.256", "fe80::1%eth0", "host", "1.2.3.4/8"])('"%s" is no address', (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test("a subnet drops the bits past its prefix", () => {
  expect(formatSubnet(parseSubnet("172.17.3.4/16"))).toBe("172.17.0.0/16");
  expect(formatSubnet(parseSubnet("fd00::5/64"))).toBe("fd00::/64");
  expect(formatAddress(parseInterface("10.1.2.3/8").address)).toBe("10.1.2.3");
  expect(sizeOf(parseSubnet("10.0.0.0/24"))).toBe(256n);
  for (const text of ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/x", "x/8"])
    expect(() => parseSubnet(text)).toThrow(`invalid CIDR address: ${text}`);
});

test("overlap", () => {
  const subnet = parseSubnet("172.16.0.0/12");
  expect(overlaps(subnet, parseSubnet("172.17.0.0/16"))).toBe(true);
  expect(overlaps(parseSubnet("172.17.0.0/16"), subnet)).toBe(true);
  expect(overlaps(subnet, parseSubnet("172.32.0.0/16"))).toBe(false);
  expect(overlaps(parseSubnet("0.0.0.0/0"), subnet)).toBe(true);
  expect(overlaps(parseSubnet("::/0"), subnet)).toBe(false);
  expect(contains(subnet, parseAddress("172.31.255.255") ?? { family: 4, value: 0n })).toBe(true);
});

test("MACs", () => {
  expect(macOf({ family: 4, value: 0xac110002n })).toBe("02:42:ac:11:00:02");
  expect(formatMac(parseMac("02-42-AC-11-00-02"))).toBe("02:42:ac:11:00:02");
  for (const text of ["", "02:42", "02:42:ac:11:00:0g", "02:42-ac:11:00:02"]) expect(() => parseMac(text)).toThrow("invalid MAC address");
});
