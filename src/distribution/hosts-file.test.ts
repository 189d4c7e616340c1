import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostsFileOf, parseHostsFile } from "./hosts-file.ts";
import { hostsOf } from "./hosts.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-hosts-"));
afterAll(() => rmSync(folder, { recursive: true }));

function put(registry: string, text: string): void {
  mkdirSync(join(folder, registry), { recursive: true });
  writeFileSync(join(folder, registry, "hosts.toml"), text);
}

test("everything that containerd's file may say", () => {
  const file = parseHostsFile(
    `server = "https://upstream.example"
ca = "/certs/up.pem"
[host."https://one.example"]
  capabilities = ["pull", "resolve"]
  ca = ["a.pem", "/b.pem"]
  client = [["/c.cert", "/c.key"], ["/both.pem", ""]]
  skip_verify = true
[host."https://one.example".header]
  X-A = "1"
  x-b = ["2", "3"]
[host."http://two.example:5000/v2/"]
[host."three.example/cache"]
  override_path = true
  dial_timeout = "1.5s"
  client = "/both.pem"
`.replace('["/both.pem", ""]', '["/both.pem"]'),
    "/etc/x/hosts.toml",
  );
  expect(file.server).toMatchObject({ url: "https://upstream.example", tls: { ca: ["/certs/up.pem"], client: [], skipVerify: false } });
  expect(file.hosts).toEqual([
    {
      url: "https://one.example",
      capabilities: ["pull", "resolve"],
      headers: { "x-a": "1", "x-b": "2, 3" },
      tls: {
        ca: ["/etc/x/a.pem", "/b.pem"],
        client: [
          { cert: "/c.cert", key: "/c.key" },
          { cert: "/both.pem", key: "/both.pem" },
        ],
        skipVerify: true,
      },
    },
    { url: "http://two.example:5000", capabilities: undefined },
    {
      url: "https://three.example/cache",
      capabilities: undefined,
      overridePath: true,
      patience: 1500,
      tls: { ca: [], client: [{ cert: "/both.pem", key: "/both.pem" }], skipVerify: false },
    },
  ]);
});

test.each([
  ["server = 7", '"server" must be a string'],
  ['host = "x"', '"host" must be tables'],
  ['[host."https://a"]\ncapabilities = ["fly"]', 'unknown capability "fly"'],
  ['[host."https://a"]\ncapability = ["pull"]', 'unknown field "capability" for "https://a"'],
  ['[host."ftp://a"]', '"ftp://a" is no address of a registry'],
  ['[host."https://a"]\nskip_verify = "yes"', '"skip_verify" must be true or false'],
  ['[host."https://a"]\nca = 3', '"ca" must be strings'],
  ['[host."https://a"]\ndial_timeout = "soon"', '"dial_timeout" must be a duration'],
  ["server = ", "Cannot use"],
])("%j is refused with the file's name", (text, sentence) => {
  expect(() => parseHostsFile(text, "/x/hosts.toml")).toThrow(sentence);
  expect(() => parseHostsFile(text, "/x/hosts.toml")).toThrow('"/x/hosts.toml"');
});

test("found by host and port in either spelling, else the default; read again when it has changed", () => {
  put("a.example_5000_", 'server = "https://one.example"');
  put("b.example:5000", 'server = "https://two.example"');
  const server = (registry: string): string | undefined => hostsFileOf([join(folder, "none"), folder], registry)?.server?.url;
  expect(server("a.example:5000")).toBe("https://one.example");
  expect(server("b.example:5000")).toBe("https://two.example");
  expect(server("c.example")).toBeUndefined();
  put("_default", 'server = "https://three.example"');
  expect(server("c.example")).toBe("https://three.example");
  put("_default", 'server = "https://another.example"');
  expect(server("c.example")).toBe("https://another.example");
  rmSync(join(folder, "_default"), { recursive: true });
});

test("the order: daemon.json, hosts.toml, the registry itself; who is told which registry is meant", () => {
  put(
    "docker.io",
    `[host."https://toml.example"]
[host."https://user:pass%21@registry-1.docker.io"]
capabilities = ["push"]`,
  );
  const addresses = hostsOf("docker.io", {
    insecureRegistries: [],
    registryMirrors: ["https://plain.example/"],
    mirrors: { "docker.io": ["http://u:p@mapped.example/path"], "ghcr.io": ["https://other.example"] },
    hostsDirectories: [folder],
  });
  expect(
    addresses.map(({ host: { url, mirror, namespace, capabilities, credentials } }) => ({
      url,
      mirror,
      namespace,
      capabilities,
      credentials,
    })),
  ).toEqual([
    { url: "https://plain.example", mirror: true, namespace: undefined, capabilities: undefined, credentials: undefined },
    {
      url: "http://mapped.example/path",
      mirror: true,
      namespace: "docker.io",
      capabilities: undefined,
      credentials: { username: "u", password: "p" },
    },
    { url: "https://toml.example", mirror: true, namespace: "docker.io", capabilities: ["pull", "resolve"], credentials: undefined },
    {
      url: "https://registry-1.docker.io",
      mirror: false,
      namespace: undefined,
      capabilities: ["push"],
      credentials: { username: "user", password: "pass!" },
    },
    { url: "https://registry-1.docker.io", mirror: undefined, namespace: undefined, capabilities: undefined, credentials: undefined },
  ]);
  rmSync(join(folder, "docker.io"), { recursive: true });
});
