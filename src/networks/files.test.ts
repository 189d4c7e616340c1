import { expect, test } from "bun:test";
import {
  changedHosts,
  hostHostsFile,
  hostsFile,
  isUntouched,
  parseResolvConf,
  resolvConfFile,
  withNameDefaults,
  withResolver,
} from "./files.ts";

const resolv = { host: "", dns: [], dnsSearch: [], dnsOptions: [], ipv6: false, hostNetwork: false };
const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("hosts: the loopback, extra hosts, links, and the container itself", () => {
  const text = hostsFile({
    hostname: "web",
    domainname: "example.org",
    addresses: ["172.17.0.2", "fd00::2"],
    extraHosts: ["db:10.0.0.1", "up:host-gateway", "six=[fd00::9]", "v6:fd00::8"],
    hostGateway: "172.17.0.1",
    hostNames: ["host.docker.internal", "gateway.docker.internal"],
    links: [{ address: "172.17.0.9", names: ["cache", "0123456789ab", "cache"] }],
  });
  const all = lines(text);
  expect(all.slice(0, 2)).toEqual(["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]);
  expect(all.slice(6)).toEqual([
    "10.0.0.1\tdb",
    "172.17.0.1\tup",
    "fd00::9\tsix",
    "fd00::8\tv6",
    "172.17.0.1\thost.docker.internal gateway.docker.internal",
    "172.17.0.9\tcache 0123456789ab",
    "172.17.0.2\tweb.example.org web",
    "fd00::2\tweb.example.org web",
  ]);
});

test("hosts of the host's network: the host's own, and what was added", () => {
  expect(hostHostsFile("1.1.1.1 a", [])).toBe("1.1.1.1 a");
  expect(hostHostsFile("1.1.1.1 a", ["b:2.2.2.2"])).toBe("1.1.1.1 a\n2.2.2.2\tb\n");
});

test("resolv.conf: name servers on the host's loopback are no use inside", () => {
  const host = "nameserver 127.0.0.53\nnameserver 10.0.0.2 # ours\nnameserver ::1\nnameserver fd00::53\nsearch a b\noptions ndots:2\n";
  expect(lines(resolvConfFile({ ...resolv, host }))).toEqual(["nameserver 10.0.0.2", "search a b", "options ndots:2"]);
  expect(lines(resolvConfFile({ ...resolv, host, ipv6: true }))).toEqual([
    "nameserver 10.0.0.2",
    "nameserver fd00::53",
    "search a b",
    "options ndots:2",
  ]);
  expect(lines(resolvConfFile({ ...resolv, host: "nameserver 127.0.0.1" }))).toEqual(["nameserver 8.8.8.8", "nameserver 8.8.4.4"]);
  expect(lines(resolvConfFile({ ...resolv, host, dns: ["9.9.9.9"], dnsSearch: ["."], dnsOptions: ["edns0"] }))).toEqual([
    "nameserver 9.9.9.9",
    "options edns0",
  ]);
});

test("resolv.conf of the host's network is the host's own, until something is asked for", () => {
  const host = "nameserver 127.0.0.53\n# as it is\n";
  expect(resolvConfFile({ ...resolv, host, hostNetwork: true })).toBe(host);
  expect(lines(resolvConfFile({ ...resolv, host, hostNetwork: true, dnsSearch: ["x"] }))).toEqual(["nameserver 127.0.0.53", "search x"]);
});

test("hosts of a container that joins and leaves networks: its own lines change, those of others stay", () => {
  const before = "127.0.0.1\tlocalhost\n10.0.0.1\tdb\n172.17.0.2\tweb.example.org web\n# mine\n";
  const change = { hostname: "web", known: ["172.17.0.2"], add: ["172.18.0.2", "fd00::2"], remove: [] };
  const joined = changedHosts(before, change);
  expect(joined).toBe(`${before}172.18.0.2\tweb.example.org web\nfd00::2\tweb.example.org web\n`);
  expect(changedHosts(joined, change)).toBe(joined);
  const left = changedHosts(joined, { hostname: "web", known: ["172.18.0.2"], add: [], remove: ["172.17.0.2"] });
  expect(left).toBe(joined.replace("172.17.0.2\tweb.example.org web\n", ""));
  expect(changedHosts("10.0.0.1\tweb\n", { hostname: "web", known: [], add: ["10.0.0.1"], remove: [] })).toBe("10.0.0.1\tweb\n");
});

test("a resolv.conf of ours is known from one that somebody wrote to", () => {
  const host = "nameserver 10.0.0.2\nsearch a b\noptions timeout:1\n";
  const text = resolvConfFile({ ...resolv, host });
  expect(isUntouched(text)).toBe(true);
  for (const other of [`${text}nameserver 1.1.1.1\n`, text.replace("10.0.0.2", "10.0.0.3"), host, ""])
    expect(isUntouched(other)).toBe(false);
  const resolved = withResolver(text, "127.0.0.11");
  expect(isUntouched(resolved)).toBe(true);
  expect(parseResolvConf(resolved)).toEqual({ servers: ["127.0.0.11"], search: ["a", "b"], options: ["timeout:1", "ndots:0"] });
});

test("a daemon's own name settings stand in the place of the host's", () => {
  const host = "nameserver 10.0.0.2\nsearch a b\noptions ndots:2\n";
  expect(withNameDefaults(host, {})).toBe(host);
  expect(withNameDefaults(host, { dns: ["9.9.9.9"] })).toBe("nameserver 9.9.9.9\nsearch a b\noptions ndots:2\n");
  expect(withNameDefaults(host, { dnsSearch: ["c"], dnsOptions: [] })).toBe("nameserver 10.0.0.2\nsearch c\n");
});
