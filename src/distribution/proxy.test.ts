import { expect, test } from "bun:test";
import { messageOf } from "../base/errors.ts";
import { send } from "./send.ts";
import { completeProxies, isInNetwork, proxyFor } from "./proxy.ts";

const settings = {
  http: "web.proxy:3128",
  https: "http://tls.proxy:1",
  none: "a.com, .b.com,*.c.com,10.0.0.0/8,[fd00::1]:80,x:81,fe80::1,192.168.0.1:8080",
};

test.each<[string, string | undefined]>([
  ["http://zz/", "http://web.proxy:3128"],
  ["https://zz/", "http://tls.proxy:1"],
  ["http://a.com", undefined],
  ["http://sub.A.com", undefined],
  ["http://notxa.com", "http://web.proxy:3128"],
  ["http://b.com", "http://web.proxy:3128"],
  ["http://sub.b.com", undefined],
  ["https://sub.c.com", undefined],
  ["http://10.1.1.1:5000", undefined],
  ["http://11.1.1.1:5000", "http://web.proxy:3128"],
  ["http://[fd00::1]/", undefined],
  ["https://[fd00::1]/", "http://tls.proxy:1"],
  ["http://x", "http://web.proxy:3128"],
  ["http://x:81", undefined],
  ["http://[fe80::1]:9", undefined],
  ["http://192.168.0.1:8080", undefined],
  ["http://192.168.0.1:8081", "http://web.proxy:3128"],
  ["http://localhost:5", undefined],
  ["http://127.2.3.4", undefined],
  ["http://[::1]:4", undefined],
])("%s goes by %s", (url, proxy) => expect(proxyFor(url, settings)).toBe(proxy));

test("a star is for everything", () => expect(proxyFor("http://a.com", { http: "p:1", none: "*" })).toBeUndefined());

test("what the configuration leaves out comes from the environment, in either case", () => {
  const environment = { HTTP_PROXY: "up:1", https_proxy: "low:2", NO_PROXY: "" };
  expect(completeProxies({}, environment)).toEqual({ http: "up:1", https: "low:2" });
  expect(completeProxies({ http: "own:3", none: "x" }, environment)).toEqual({ http: "own:3", https: "low:2", none: "x" });
  expect(completeProxies({ http: "" }, environment)).toEqual({ https: "low:2" });
});

test("networks of both families", () => {
  expect(isInNetwork("10.1.2.3", "10.0.0.0/8")).toBe(true);
  expect(isInNetwork("11.1.2.3", "10.0.0.0/8")).toBe(false);
  expect(isInNetwork("fd12::5", "fd00::/8")).toBe(true);
  expect(isInNetwork("fe80::5", "fd00::/8")).toBe(false);
  expect(isInNetwork("10.1.2.3", "fd00::/8")).toBe(false);
  expect(isInNetwork("10.1.2.3", "0.0.0.0/0")).toBe(true);
  for (const odd of ["10.0.0.0", "10.0.0.0/x", "10.0.0.0/33", "name/8", ""]) expect(isInNetwork("10.1.2.3", odd)).toBe(false);
});

test("a proxy that is not there is named, without what signs in to it", async () => {
  const proxies = { http: "http://user:secret@127.0.0.1:1", https: "http://user:secret@proxy.invalid:3128" };
  const failed = (url: string): Promise<string> => send({ method: "GET", url, proxies }).then(() => "", messageOf);
  expect(await failed("http://registry.test/v2/")).toBe(
    'Get "http://registry.test/v2/": proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused',
  );
  const unknown = await failed("https://registry.test/v2/");
  expect(unknown).toContain("proxyconnect tcp: dial tcp: lookup proxy.invalid");
  expect(unknown).not.toContain("secret");
});
