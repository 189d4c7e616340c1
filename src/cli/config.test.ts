import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, type Globals } from "./app.ts";
import { readConfig, saveConfig } from "./config-file.ts";
import { chooseEndpoint, contextName } from "./connect.ts";
import { credentialsFor, encodeAuth, eraseCredentials, HUB_KEY, storeCredentials } from "./credentials.ts";
import { findPlugin } from "./plugins.ts";
import { proxyVariables } from "./proxies.ts";

const saved = { ...process.env };
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lighter-config-"));
  for (const name of ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH"]) delete process.env[name];
});

afterEach(() => {
  rmSync(folder, { recursive: true });
  for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
  Object.assign(process.env, saved);
});

const GLOBALS: Globals = {
  config: "",
  context: "",
  debug: false,
  host: [],
  "log-level": "",
  tls: false,
  tlscacert: "",
  tlscert: "",
  tlskey: "",
  tlsverify: false,
};
const app = (globals: Partial<Globals> = {}): App => new App("lighter", { ...GLOBALS, config: folder, ...globals });
const config = (value: object): void => writeFileSync(join(folder, "config.json"), JSON.stringify(value));

test("an absent file is empty, a broken one is told, a saved one keeps what it does not know", () => {
  expect(readConfig(join(folder, "nowhere"))).toEqual({});
  writeFileSync(join(folder, "file"), "");
  expect(readConfig(join(folder, "file"))).toEqual({});
  writeFileSync(join(folder, "config.json"), "");
  expect(() => readConfig(folder)).toThrow("Error parsing config file");
  rmSync(join(folder, "config.json"));
  saveConfig(folder, { ...readConfig(folder), detachKeys: "ctrl-a", features: { x: "1" } });
  expect(readFileSync(join(folder, "config.json"), "utf8")).toBe('{\n\t"detachKeys": "ctrl-a",\n\t"features": {\n\t\t"x": "1"\n\t}\n}');
  expect(statSync(join(folder, "config.json")).mode & 0o777).toBe(0o600);
  writeFileSync(join(folder, "config.json"), "{");
  expect(() => readConfig(folder)).toThrow("Error parsing config file");
});

test("logins in the file, by host however it is spelled", async () => {
  const auth = Buffer.from("joe:a:b").toString("base64");
  config({
    auths: { "localhost:5000": { auth }, "https://reg.example/v2/": { auth }, [HUB_KEY]: { identitytoken: "t" }, "empty.example": {} },
  });
  expect(await credentialsFor(app(), "localhost:5000")).toEqual({ username: "joe", password: "a:b", serveraddress: "localhost:5000" });
  expect(await credentialsFor(app(), "reg.example")).toMatchObject({ username: "joe" });
  expect(await credentialsFor(app(), "docker.io")).toEqual({ identitytoken: "t", serveraddress: HUB_KEY });
  expect(await credentialsFor(app(), "empty.example")).toBeUndefined();
  expect(encodeAuth({ username: "ÿÿ>", password: "?", serveraddress: "s" })).not.toMatch(/[+/]/);
});

test("a login in plain fields, a helper that is not there, a file that is a link", async () => {
  config({ auths: { "plain.example": { username: "joe", password: "secret" } }, credHelpers: { "plain.example": "not-there" } });
  expect(await credentialsFor(app(), "plain.example")).toMatchObject({ username: "joe", password: "secret" });
  const failures = await eraseCredentials(app(), "plain.example");
  expect(failures["plain.example"]).toContain('error erasing credentials - err: exec: "docker-credential-not-there"');
  expect(readConfig(folder).auths).toEqual({});
  renameSync(join(folder, "config.json"), join(folder, "real.json"));
  symlinkSync("real.json", join(folder, "config.json"));
  await storeCredentials(app(), { username: "joe", password: "secret", serveraddress: "localhost:5000" });
  expect(lstatSync(join(folder, "config.json")).isSymbolicLink()).toBe(true);
  expect(readFileSync(join(folder, "real.json"), "utf8")).toContain("am9lOnNlY3JldA==");
});

test("what cannot be understood is as if it were not there, and is not written over", async () => {
  writeFileSync(join(folder, "config.json"), '{"auths":');
  expect(app().config).toEqual({});
  await expect(storeCredentials(app(), { username: "joe", password: "x", serveraddress: "a.example" })).rejects.toThrow("Error parsing");
  expect(readFileSync(join(folder, "config.json"), "utf8")).toBe('{"auths":');
});

test("storing and erasing a login writes what docker writes", async () => {
  await storeCredentials(app(), { username: "joe", password: "secret", serveraddress: "localhost:5000" });
  expect(readConfig(folder)).toEqual({ auths: { "localhost:5000": { auth: "am9lOnNlY3JldA==" } } });
  expect(await eraseCredentials(app(), "localhost:5000")).toEqual({});
  expect(readConfig(folder)).toEqual({ auths: {} });
  expect(await eraseCredentials(app(), "localhost:5000")).toEqual({});
});

test("a helper is asked in docker's way and keeps the secret out of the file", async () => {
  const helper = join(folder, "docker-credential-fake");
  writeFileSync(
    helper,
    `#!/bin/sh\ncase $1 in\nget) read key; [ -f ${folder}/kept ] && cat ${folder}/kept || { echo "credentials not found in native keychain"; exit 1; };;\nstore) cat > ${folder}/kept;;\nerase) rm ${folder}/kept;;\nesac\n`,
  );
  chmodSync(helper, 0o755);
  process.env["PATH"] = `${folder}:${process.env["PATH"]}`;
  config({ credsStore: "fake" });
  expect(await credentialsFor(app(), "reg.example")).toBeUndefined();
  expect(await storeCredentials(app(), { username: "joe", password: "pw", serveraddress: "reg.example" })).toEqual({ helper: "fake" });
  expect(readConfig(folder)).toEqual({ credsStore: "fake", auths: { "reg.example": {} } });
  expect(await credentialsFor(app(), "reg.example")).toEqual({ username: "joe", password: "pw", serveraddress: "reg.example" });
  await eraseCredentials(app(), "reg.example");
  expect(await credentialsFor(app(), "reg.example")).toBeUndefined();
});

test("the endpoint: flag, environment, context, configuration, own socket", async () => {
  const name = "away";
  const meta = join(folder, "contexts", "meta", new Bun.CryptoHasher("sha256").update(name).digest("hex"));
  mkdirSync(meta, { recursive: true });
  writeFileSync(join(meta, "meta.json"), JSON.stringify({ Name: name, Metadata: {}, Endpoints: { docker: { Host: "tcp://away:1" } } }));
  expect(await chooseEndpoint(app())).toBeUndefined();
  config({ currentContext: name });
  expect(await chooseEndpoint(app())).toMatchObject({ kind: "tcp", host: "away" });
  expect(contextName(app({ host: ["x"] }))).toBe("default");
  process.env["DOCKER_HOST"] = "unix:///env.sock";
  expect(await chooseEndpoint(app())).toMatchObject({ path: "/env.sock" });
  expect(await chooseEndpoint(app({ context: name }))).toMatchObject({ host: "away" });
  expect(await chooseEndpoint(app({ host: ["h:2"] }))).toMatchObject({ kind: "tcp", host: "h", port: 2 });
  expect(await chooseEndpoint(app({ host: ["/abs.sock"] }))).toMatchObject({ kind: "unix", path: "/abs.sock" });
  await expect(chooseEndpoint(app({ host: ["x"], context: name })).then(String)).rejects.toThrow(
    "cannot specify both --host and --context",
  );
  await expect(chooseEndpoint(app({ context: "nosuch" })).then(String)).rejects.toThrow('context "nosuch": context not found');
});

test("TLS comes from docker's places", async () => {
  writeFileSync(join(folder, "ca.pem"), "CA");
  process.env["DOCKER_TLS_VERIFY"] = "1";
  process.env["DOCKER_CERT_PATH"] = folder;
  expect(await chooseEndpoint(app({ host: ["tcp://h"] }))).toMatchObject({ port: 2376, tls: { verify: true, ca: "CA" } });
  delete process.env["DOCKER_TLS_VERIFY"];
  expect(await chooseEndpoint(app({ host: ["tcp://h"], tls: true }))).toMatchObject({ tls: { verify: false } });
});

test("proxies of the configuration, in both spellings", () => {
  config({ proxies: { default: { httpProxy: "http://p", noProxy: "" }, "tcp://h:1": { allProxy: "s" } } });
  expect(proxyVariables(app())).toEqual({ HTTP_PROXY: "http://p", http_proxy: "http://p" });
  expect(proxyVariables(app({ host: ["tcp://h:1"] }))).toEqual({ ALL_PROXY: "s", all_proxy: "s" });
});

test("plugins are executable files of docker's folders", () => {
  mkdirSync(join(folder, "cli-plugins"));
  const path = join(folder, "cli-plugins", "docker-thing");
  writeFileSync(path, "");
  expect(findPlugin(app(), "thing")).toBeUndefined();
  chmodSync(path, 0o755);
  expect(findPlugin(app(), "thing")).toBe(path);
  expect(findPlugin(app(), "../thing")).toBeUndefined();
});
