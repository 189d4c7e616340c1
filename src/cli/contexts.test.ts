import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "./app.ts";
import { runCli } from "./cli.ts";
import { chooseEndpoint } from "./connect.ts";
import { contextFolders, listContexts, readContext } from "./contexts.ts";
import { packContext, unpackContext } from "./context-archive.ts";

const saved = { ...process.env };
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lighter-contexts-"));
  for (const name of ["DOCKER_HOST", "DOCKER_CONTEXT"]) delete process.env[name];
  process.env["DOCKER_CONFIG"] = folder;
  for (const name of ["ca", "cert", "key"]) writeFileSync(join(folder, `${name}.pem`), `the ${name}`);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
  Object.assign(process.env, saved);
});

/** Runs a command in a process of its own: code, output, errors. */
async function cli(words: string[], stdin?: Uint8Array): Promise<{ code: number; out: string; err: string; bytes: Uint8Array }> {
  const main = join(import.meta.dir, "../main.ts");
  const child = Bun.spawn([process.execPath, main, ...words], {
    env: process.env,
    cwd: folder,
    stdin: stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [bytes, err, code] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
  return { code, out: new TextDecoder().decode(bytes), err, bytes };
}

const certificates = (): string => ["ca", "cert", "key"].map((name) => `${name}=${join(folder, `${name}.pem`)}`).join(",");

test("a context with certificates: made, used, exported, imported, updated, removed", async () => {
  expect(
    await runCli("lighter", [
      "context",
      "create",
      "far",
      "--description",
      "over there",
      "--docker",
      `host=tcp://192.0.2.1:2376,${certificates()}`,
    ]),
  ).toBe(0);
  const { meta, tls } = contextFolders(folder, "far");
  expect(readdirSync(join(tls, "docker")).sort()).toEqual(["ca.pem", "cert.pem", "key.pem"]);
  expect(statSync(join(tls, "docker/key.pem")).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(join(meta, "meta.json"), "utf8"))).toEqual({
    Name: "far",
    Metadata: { Description: "over there" },
    Endpoints: { docker: { Host: "tcp://192.0.2.1:2376", SkipTLSVerify: false } },
  });
  process.env["DOCKER_CONTEXT"] = "far";
  const globals = {
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
  expect(await chooseEndpoint(new App("lighter", globals))).toMatchObject({
    kind: "tcp",
    port: 2376,
    tls: { verify: true, ca: "the ca", cert: "the cert", key: "the key" },
  });
  delete process.env["DOCKER_CONTEXT"];

  const archive = await cli(["context", "export", "far", "-"]);
  expect(archive.code).toBe(0);
  expect((await cli(["context", "import", "again", "-"], archive.bytes)).err).toBe('Successfully imported context "again"\n');
  expect(readContext(folder, "again")).toMatchObject({ Name: "again", Metadata: { Description: "over there" } });
  expect(readFileSync(join(contextFolders(folder, "again").tls, "docker/ca.pem"), "utf8")).toBe("the ca");

  expect((await cli(["context", "update", "far", "--description", "elsewhere"])).code).toBe(0);
  expect(existsSync(join(tls, "docker/key.pem"))).toBe(true);
  expect((await cli(["context", "update", "far", "--docker", "host=ssh://somebody@192.0.2.2"])).code).toBe(0);
  expect(existsSync(tls)).toBe(false);
  expect(readContext(folder, "far")).toMatchObject({
    Metadata: { Description: "elsewhere" },
    Endpoints: { docker: { Host: "ssh://somebody@192.0.2.2" } },
  });

  expect((await cli(["context", "use", "far"])).err).toBe('Current context is now "far"\n');
  expect(await cli(["context", "rm", "far", "again"])).toMatchObject({
    code: 1,
    out: "again\n",
    err: 'context "far" is in use, set -f flag to force remove\n',
  });
  expect((await cli(["context", "rm", "-f", "far"])).out).toBe("far\n");
  expect(listContexts(folder)).toEqual([]);
  expect((await cli(["context", "show"])).out).toBe("default\n");
});

test("what cannot be a context is refused with docker's sentences, and nothing is left of it", async () => {
  const refusals: [string[], string][] = [
    [["create", "default", "--docker", "host=unix:///x"], '"default" is a reserved context name'],
    [
      ["create", "a b", "--docker", "host=unix:///x"],
      'context name "a b" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"',
    ],
    [["create", "", "--docker", "host=unix:///x"], "context name cannot be empty"],
    [
      ["create", "far", "--docker", "host=unix:///x,colour=red"],
      "unable to create docker endpoint config: unrecognized config key: colour",
    ],
    [["create", "far", "--docker", "ca=/nowhere"], "unable to create docker endpoint config: open /nowhere: no such file or directory"],
    [["create", "far", "--docker", "host=unix:///x", "--from", "default"], "cannot use --docker flag when --from is set"],
    [["rm", "default"], 'context "default" cannot be removed'],
    [["rm", "far"], 'context "far" does not exist'],
    [["import", "far", "/nowhere"], "open /nowhere: no such file or directory"],
    [["update", "default", "--description", "x"], '"default" is a reserved context name'],
  ];
  const said = await Promise.all(refusals.map(([words]) => cli(["context", ...words])));
  for (const [index, [words, sentence]] of refusals.entries())
    expect([...words, said[index]?.code, said[index]?.err]).toEqual([...words, 1, `${sentence}\n`]);
  expect(listContexts(folder)).toEqual([]);
});

test("an archive holds what it names, and no more is taken out of it", async () => {
  const context = { Name: "n", Metadata: {}, Endpoints: { docker: { Host: "unix:///x", SkipTLSVerify: true } } };
  const tls = { "ca.pem": new Uint8Array([1, 2, 3]) };
  const archive = packContext(context, tls);
  expect(await unpackContext(streamOf(archive))).toEqual({ context, tls });
  const escaping = packContext(context, { "../../escaped": new Uint8Array(1) });
  expect((await unpackContext(streamOf(escaping))).tls).toEqual({});
  expect(unpackContext(streamOf(new TextEncoder().encode("no archive".repeat(200))))).rejects.toThrow();
  expect(unpackContext(streamOf(new Uint8Array(11 << 20)))).rejects.toThrow();
});

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
}
