/** Signatures made by Debian's cosign: what is signed is pulled, what is not is refused before anything of it is stored. Deadline: 240 s. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cosign } from "../tools/programs.ts";
import { must } from "../tools/shell.ts";
import { testImage } from "../tools/test-images.ts";
import { CLIENTS, Ground } from "./harness/ground.ts";
import { OwnRegistry } from "./harness/own-registry.ts";

let ground: Ground;
let folder: string;
let digest: string;

/** Signs as its users do, without the public log. */
async function sign(args: readonly string[], env: Record<string, string> = {}): Promise<void> {
  await must([await cosign(), ...args], { cwd: folder, env: { HOME: folder, COSIGN_PASSWORD: "secret", ...env } });
}

async function push(repository: string, image: "busybox" | "layered" = "busybox"): Promise<string> {
  return await ground.registry.push((await testImage(image)).layout, repository);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lighter-cosign-"));
  const policy = {
    rules: [
      { images: "127.0.0.1:*/signed/**", keys: ["cosign.pub", "ed25519.pub"] },
      { images: "127.0.0.1:*/warned/*", mode: "warn", keys: ["cosign.pub"] },
    ],
  };
  await Bun.write(join(folder, "policy.json"), JSON.stringify(policy));
  await Bun.write(join(folder, "daemon.json"), JSON.stringify({ "signature-policy": join(folder, "policy.json") }));
  await sign(["generate-key-pair"]);
  await must(["openssl", "genpkey", "-algorithm", "ed25519", "-out", "ed25519.pem"], { cwd: folder });
  await must(["openssl", "pkey", "-in", "ed25519.pem", "-pubout", "-out", "ed25519.pub"], { cwd: folder });
  ground = await Ground.lay(["busybox"], ["--config-file", join(folder, "daemon.json")]);
  digest = await push("signed/tag");
}, 120_000);

afterAll(async () => {
  await ground?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const FORMS: Record<string, { key: string; how: (name: string) => Promise<void> }> = {
  "under its tag": {
    key: "cosign.pub",
    how: (name) => sign(["sign", "--key", "cosign.key", "--tlog-upload=false", "-y", `${name}@${digest}`]),
  },
  "by ed25519": {
    key: "ed25519.pub",
    async how(name) {
      await sign(["import-key-pair", "--key", "ed25519.pem", "--output-key-prefix", "imported", "-y"]);
      await sign(["sign", "--key", "imported.key", "--tlog-upload=false", "-y", `${name}@${digest}`]);
    },
  },
  "as a referrer": {
    key: "cosign.pub",
    how: (name) =>
      sign(["sign", "--key", "cosign.key", "--tlog-upload=false", "-y", "--registry-referrers-mode=oci-1-1", `${name}@${digest}`], {
        COSIGN_EXPERIMENTAL: "1",
      }),
  },
  "as a bundle": {
    key: "cosign.pub",
    async how(name) {
      await Bun.write(join(folder, "predicate.json"), "{}");
      const kind = ["--predicate", "predicate.json", "--type", "https://sigstore.dev/cosign/sign/v1", "--new-bundle-format"];
      await sign(["attest", "--key", "cosign.key", "--tlog-upload=false", "-y", ...kind, `${name}@${digest}`]);
    },
  },
};

for (const [form, { key, how }] of Object.entries(FORMS)) {
  test(`a signature ${form} opens what the policy closes`, async () => {
    const name = `${ground.registry.host}/signed/${ground.name()}`;
    expect(await push(name.slice(name.indexOf("/") + 1))).toBe(digest);
    const before = await ground.lighter.run(["pull", name]);
    expect(before.code).toBe(1);
    expect(before.stderr).toContain(`no signature of ${digest} was found`);
    await how(name);
    const { code, stdout } = await ground.client("docker 26.1").run(["pull", name]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Verified: ${digest} is signed with ${join(folder, key)} (sha256:`);
  });
}

for (const name of CLIENTS) {
  test(`${name}: what is not signed is refused by one sentence, and nothing of it is kept`, async () => {
    const other = await push("signed/other", "layered");
    const image = `${ground.registry.host}/signed/other`;
    const client = ground.client(name);
    const { code, stdout, stderr } = await client.run(["pull", image]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "Using default tag: latest\n" });
    expect(stderr.trim()).toBe(
      `Error response from daemon: Cannot pull ${image}:latest: no signature of ${other} was found, and the policy ${join(folder, "policy.json")} wants it signed`,
    );
    expect((await client.run(["run", "--rm", image, "true"])).code).toBe(125);
    expect(await client.must("images", "-q", image)).toBe("");
    const blobs = await Array.fromAsync(new Bun.Glob("content/blobs/sha256/*").scan({ cwd: ground.daemon.dataRoot }));
    expect(blobs.filter((path) => path.endsWith(other.slice("sha256:".length)))).toEqual([]);
  });
}

test("a signature that is put beside other content does not open it, and the name keeps what it means", async () => {
  const name = `${ground.registry.host}/signed/moved`;
  await push("signed/moved");
  await sign(["sign", "--key", "cosign.key", "--tlog-upload=false", "-y", `${name}@${digest}`]);
  await ground.lighter.must("pull", "-q", name);
  const other = await push("signed/moved", "layered");
  const at = (tag: string): string => `http://${ground.registry.host}/v2/signed/moved/manifests/${tag}`;
  const type = "application/vnd.oci.image.manifest.v1+json";
  const signature = await (await fetch(at(`${digest.replace(":", "-")}.sig`), { headers: { accept: type } })).text();
  const put = { method: "PUT", body: signature, headers: { "content-type": type } };
  expect((await fetch(at(`${other.replace(":", "-")}.sig`), put)).status).toBe(201);
  const { code, stderr } = await ground.lighter.run(["pull", name]);
  expect(code).toBe(1);
  expect(stderr).toContain(`a signature at ${other} is for other content (${digest})`);
  expect(await ground.lighter.must("inspect", "-f", "{{.Id}}", name)).toBe(digest);
});

test("pull --verify asks for more than the policy: its keys, or those that are given", async () => {
  const name = `${ground.registry.host}/free`;
  await push("free");
  const none = await ground.lighter.run(["pull", "--verify", name]);
  expect(none.stderr).toContain(`Cannot verify ${name}:latest: no key is known for it`);
  await sign(["sign", "--key", "cosign.key", "--tlog-upload=false", "-y", `${name}@${digest}`]);
  expect((await ground.lighter.run(["pull", "--verify-key", join(folder, "cosign.pub"), name])).stdout).toContain(`Verified: ${digest}`);
  const stranger = await ground.lighter.run(["pull", "--verify-key", join(folder, "ed25519.pub"), name]);
  expect({ code: stranger.code, stderr: stranger.stderr.trim() }).toEqual({
    code: 1,
    stderr: `Error response from daemon: Cannot pull ${name}:latest: a signature of ${digest} is by none of the known keys, and the pull wants it signed`,
  });
  const warned = `${ground.registry.host}/warned/thing`;
  await push("warned/thing");
  expect((await ground.lighter.run(["pull", warned])).stdout).toContain(`WARNING: ${warned}:latest: no signature of ${digest} was found`);
  expect((await ground.lighter.run(["pull", "--verify", warned])).code).toBe(1);
  expect((await ground.lighter.run(["pull", "--verify", `ssh://host/${name}`])).stderr).toContain("Cannot verify signatures over ssh");
});

test("a registry of our own keeps them as referrers, by its API", async () => {
  await using own = new OwnRegistry(join(folder, "own"));
  await own.start();
  for (const form of ["as a referrer", "as a bundle"]) {
    const name = `${own.host}/${ground.name()}`;
    await ground.lighter.must("tag", "busybox", name);
    await ground.lighter.must("push", "-q", name);
    await FORMS[form]?.how(name);
    const answer = await fetch(`http://${own.host}/v2/${name.slice(name.indexOf("/") + 1)}/referrers/${digest}`);
    expect(((await answer.json()) as { manifests: unknown[] }).manifests).toHaveLength(1);
    expect(await ground.lighter.must("pull", "--verify-key", join(folder, "cosign.pub"), name)).toContain(`Verified: ${digest}`);
  }
});
