import { expect, test } from "bun:test";
import { askedInterface, interfaceNames, interfaceSettings, isPlain, settingPath } from "./endpoint-options.ts";

const place = (ifname: string | undefined, prefix = "eth") => ({
  asked: ifname === undefined ? {} : { DriverOpts: { "com.docker.network.endpoint.ifname": ifname } },
  prefix,
});

test("interfaces have the names that were asked for, the others the next number", () => {
  expect(interfaceNames([place(undefined), place(undefined)])).toEqual(["eth0", "eth1"]);
  expect(interfaceNames([place("eth1"), place(undefined), place(undefined), place("wan")])).toEqual(["eth1", "eth0", "eth2", "wan"]);
  expect(interfaceNames([place(undefined), place(undefined, "net")], ["eth0"])).toEqual(["eth1", "net0"]);
  expect(() => interfaceNames([place("a"), place("a")])).toThrow('interface name "a" is in use');
  expect(() => interfaceNames([place("eth0")], ["eth0"])).toThrow('interface name "eth0" is in use');
});

test.each(["lo", "..", "with space", "a/b", "a:b", "longer-than-fifteen", "fünfzehn-bytes-ü"])("%p names no interface", (name) => {
  expect(() => askedInterface(place(name).asked)).toThrow("invalid interface name");
});

test("settings of an interface", () => {
  const asked = (text: string) => ({ DriverOpts: { "com.docker.network.endpoint.sysctls": text } });
  const [martians, ra] = interfaceSettings(asked("net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2"));
  expect(martians && settingPath(martians, "eth0.10")).toBe("/proc/sys/net/ipv4/conf/eth0.10/log_martians");
  expect(ra).toEqual({ file: "net/ipv6/conf/IFNAME/accept_ra", value: "2" });
  expect(interfaceSettings(asked("net.ipv4.conf.ifname.rp_filter=2"))).toEqual([{ file: "net/ipv4/conf/IFNAME/rp_filter", value: "2" }]);
  expect(isPlain(asked(""))).toBe(true);
  expect(isPlain(asked("net.ipv4.conf.IFNAME.log_martians=1"))).toBe(false);
  for (const bad of [
    "net.ipv4.ip_forward=1",
    "kernel.conf.IFNAME.x=1",
    "net.ipv4.conf.IFNAME.log_martians",
    "net.ipv4.conf.IFNAME...x=1",
    "net.ipv4.conf.IFNAME./etc=1",
  ])
    expect(() => interfaceSettings(asked(bad))).toThrow(`invalid endpoint sysctl "${bad}"`);
});
