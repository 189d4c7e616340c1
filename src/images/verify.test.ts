import { afterAll, expect, test } from "bun:test";
import { createHash, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseReference, type Reference } from "../base/reference.ts";
import { openDistribution } from "../distribution/open.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { matches, oneSpelling, parsePolicy, policyFor } from "./signature-policy.ts";
import type { Source } from "./sources.ts";
import { verifySource, type PolicyFile } from "./verify.ts";

const EMPTY = digestOf("{}");
const SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGN = "https://sigstore.dev/cosign/sign/v1";
const KEYS = {
  "P-256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ed25519: generateKeyPairSync("ed25519"),
  RSA: generateKeyPairSync("rsa", { modulusLength: 2048 }),
};
const STRANGER = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** A registry of one repository, its manifests and blobs in memory; a request for anything else is 404. */
class MemoryRegistry {
  readonly manifests = new Map<string, { type: string; text: string }>();
  readonly blobs = new Map<string, Uint8Array>();
  readonly referrers = new Map<string, Descriptor[]>();
  readonly asked: string[] = [];
  /** Paths that are answered with a refusal that is not asked again. */
  readonly broken = new Set<string>();
  /** Whether it knows the referrers API. */
  modern = true;
  readonly #server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => this.#answer(new URL(request.url).pathname) });

  get host(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  #answer(path: string): Response {
    this.asked.push(path);
    if (path === "/v2/") return new Response("{}");
    if (this.broken.has(path)) return new Response("", { status: 400 });
    const [, kind, name = ""] = /^\/v2\/x\/(manifests|blobs|referrers)\/(.*)$/.exec(path) ?? [];
    const manifest = this.manifests.get(name);
    if (kind === "manifests" && manifest !== undefined) return new Response(manifest.text, { headers: { "content-type": manifest.type } });
    const blob = this.blobs.get(name);
    if (kind === "blobs" && blob !== undefined) return new Response(new Blob([Buffer.from(blob)]));
    if (kind === "referrers" && this.modern) return this.#index(this.referrers.get(name) ?? []);
    return Response.json({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }, { status: 404 });
  }

  #index(manifests: Descriptor[]): Response {
    return new Response(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests }), {
      headers: { "content-type": MEDIA.ociIndex },
    });
  }

  /** Puts a manifest with these layers, under its digest and perhaps a tag. */
  put(layers: { mediaType: string; bytes: Uint8Array; annotations?: Record<string, string> }[], tag?: string): Descriptor {
    const described = layers.map(({ mediaType, bytes, annotations }) => {
      const digest = digestOf(bytes);
      this.blobs.set(digest, bytes);
      return { mediaType, digest, size: bytes.length, ...(annotations && { annotations }) };
    });
    const config = { mediaType: "application/vnd.oci.empty.v1+json", digest: EMPTY, size: 2 };
    const text = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: described });
    const digest = digestOf(text);
    for (const name of [digest, ...(tag === undefined ? [] : [tag])]) this.manifests.set(name, { type: MEDIA.ociManifest, text });
    return { mediaType: MEDIA.ociManifest, digest, size: text.length };
  }

  /** Lets a manifest refer to another one, by the API or by the tag. */
  refer(subject: Digest, referrer: Descriptor): void {
    if (this.modern) this.referrers.set(subject, [...(this.referrers.get(subject) ?? []), referrer]);
    else {
      const text = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [referrer] });
      this.manifests.set(subject.replace(":", "-"), { type: MEDIA.ociIndex, text });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

const folder = await mkdtemp(join(tmpdir(), "lighter-verify-"));
afterAll(async () => await rm(folder, { recursive: true }));
let policies = 0;

async function policyOf(policy: object): Promise<PolicyFile> {
  const path = join(folder, `policy-${policies++}.json`);
  await writeFile(path, JSON.stringify(policy));
  return { path, required: true };
}

function pem(key: KeyObject): string {
  return String(key.export({ type: "spki", format: "pem" }));
}

function signatureBy(key: KeyObject, bytes: Uint8Array): string {
  return sign(key.asymmetricKeyType === "ed25519" ? null : "sha256", bytes, key).toString("base64");
}

/** A layer in cosign's first form. */
function simple(key: KeyObject, digest: string, name = "registry.test/x"): Parameters<MemoryRegistry["put"]>[0][number] {
  const type = "cosign container image signature";
  const critical = { identity: { "docker-reference": name }, image: { "docker-manifest-digest": digest }, type };
  const bytes = Buffer.from(JSON.stringify({ critical, optional: null }));
  return { mediaType: SIMPLE, bytes, annotations: { "dev.cosignproject.cosign/signature": signatureBy(key, bytes) } };
}

/** A layer with a sigstore bundle. */
function bundle(
  key: KeyObject,
  digest: string,
  predicateType = SIGN,
  names: Record<string, string> = { "registry.test/x": digest },
): Parameters<MemoryRegistry["put"]>[0][number] {
  const subject = Object.entries(names).map(([name, each]) => ({ name, digest: { sha256: each.replace("sha256:", "") } }));
  const payload = Buffer.from(JSON.stringify({ _type: "https://in-toto.io/Statement/v1", predicateType, subject, predicate: {} }));
  const type = "application/vnd.in-toto+json";
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
  const dsseEnvelope = { payload: payload.toString("base64"), payloadType: type, signatures: [{ sig: signatureBy(key, signed) }] };
  return { mediaType: BUNDLE, bytes: Buffer.from(JSON.stringify({ mediaType: BUNDLE, verificationMaterial: {}, dsseEnvelope })) };
}

async function verify(
  registry: MemoryRegistry,
  target: Descriptor,
  options: { keys?: readonly KeyObject[]; policy?: object } = {},
): Promise<string[]> {
  const reference: Reference = parseReference(`${registry.host}/x:1`);
  const repositories = openDistribution({
    insecureRegistries: [],
    registryMirrors: [],
    certificateDirectories: [],
    userAgent: "test",
  }).repository(reference, {});
  const source: Source = { repositories, target };
  const request = options.keys === undefined ? undefined : { keys: options.keys.map(pem) };
  return verifySource(await policyOf(options.policy ?? {}), reference, source, request);
}

async function refusal(...args: Parameters<typeof verify>): Promise<string> {
  try {
    await verify(...args);
  } catch (error) {
    expect((error as { kind?: string }).kind).toBe("forbidden");
    return (error as Error).message;
  }
  throw new Error("it was not refused");
}

function image(registry: MemoryRegistry): Descriptor {
  return registry.put([{ mediaType: MEDIA.ociLayer, bytes: Buffer.from("layer") }], "1");
}

const FORMS: Record<string, (registry: MemoryRegistry, target: Descriptor, key: KeyObject, digest?: string) => void> = {
  "the tag .sig": (registry, target, key, digest = target.digest) =>
    void registry.put([simple(key, digest)], `${target.digest.replace(":", "-")}.sig`),
  referrers: (registry, target, key, digest = target.digest) => registry.refer(target.digest, registry.put([simple(key, digest)])),
  "the tag of referrers": (registry, target, key, digest = target.digest) => {
    registry.modern = false;
    registry.refer(target.digest, registry.put([simple(key, digest)]));
  },
  "a bundle": (registry, target, key, digest = target.digest) => registry.refer(target.digest, registry.put([bundle(key, digest)])),
};

for (const [form, put] of Object.entries(FORMS)) {
  for (const [kind, { publicKey, privateKey }] of Object.entries(KEYS)) {
    test(`a signature in ${form} by ${kind} is found and holds`, async () => {
      await using registry = new MemoryRegistry();
      const target = image(registry);
      put(registry, target, privateKey);
      const [line] = await verify(registry, target, { keys: [STRANGER.publicKey, publicKey] });
      const short = createHash("sha256")
        .update(publicKey.export({ type: "spki", format: "der" }))
        .digest("hex")
        .slice(0, 12);
      expect(line).toBe(`Verified: ${target.digest} is signed with key 2 of the pull (sha256:${short})`);
    });
  }

  test(`${form}: by another key, or for other content, it does not count`, async () => {
    await using registry = new MemoryRegistry();
    const target = image(registry);
    put(registry, target, KEYS["P-256"].privateKey);
    expect(await refusal(registry, target, { keys: [STRANGER.publicKey] })).toContain("is by none of the known keys");
    await using other = new MemoryRegistry();
    const replayed = image(other);
    put(other, replayed, KEYS["P-256"].privateKey, digestOf("something else"));
    expect(await refusal(other, replayed, { keys: [KEYS["P-256"].publicKey] })).toContain(
      `a signature at ${replayed.digest} is for other content (${digestOf("something else")})`,
    );
  });
}

test("without any signature the sentence says so, and nothing of the image was asked for", async () => {
  await using registry = new MemoryRegistry();
  const target = image(registry);
  expect(await refusal(registry, target, { keys: [STRANGER.publicKey] })).toBe(
    `Cannot pull ${registry.host}/x:1: no signature of ${target.digest} was found, and the pull wants it signed`,
  );
  expect(registry.asked.filter((path) => path.includes("/blobs/"))).toEqual([]);
});

test("one good signature among others is enough", async () => {
  await using registry = new MemoryRegistry();
  const target = image(registry);
  const tag = `${target.digest.replace(":", "-")}.sig`;
  const { publicKey, privateKey } = KEYS.ed25519;
  registry.put([simple(STRANGER.privateKey, target.digest), simple(privateKey, "sha256:0"), simple(privateKey, target.digest)], tag);
  expect(await verify(registry, target, { keys: [publicKey] })).toHaveLength(1);
});

test("what was changed after it was signed does not count", async () => {
  const { publicKey, privateKey } = KEYS["P-256"];
  for (const change of ["payload", "signature", "blob", "size"]) {
    await using registry = new MemoryRegistry();
    const target = image(registry);
    const layer = simple(privateKey, target.digest);
    const at = "dev.cosignproject.cosign/signature";
    if (change === "payload") layer.bytes = Buffer.from(Buffer.from(layer.bytes).toString().replace("registry.test", "registry.evil"));
    if (change === "signature") layer.annotations = { [at]: `${layer.annotations?.[at]?.slice(0, -8)}AAAAAAA=` };
    if (change === "size") layer.bytes = Buffer.concat([layer.bytes, Buffer.alloc(2 << 20, " ")]);
    registry.put([layer], `${target.digest.replace(":", "-")}.sig`);
    if (change === "blob") registry.blobs.set(digestOf(layer.bytes), Buffer.from("{}"));
    expect(await refusal(registry, target, { keys: [publicKey] })).toMatch(/known keys|other content for|too large/);
  }
});

test("a statement about an image is no signature of it", async () => {
  await using registry = new MemoryRegistry();
  const target = image(registry);
  registry.refer(target.digest, registry.put([bundle(KEYS["P-256"].privateKey, target.digest, "https://slsa.dev/provenance/v1")]));
  expect(await refusal(registry, target, { keys: [KEYS["P-256"].publicKey] })).toContain("no signature");
});

test("a keyless signature is refused as one, unless a known key made it", async () => {
  await using registry = new MemoryRegistry();
  const annotated = (key: KeyObject, digest: string): ReturnType<typeof simple> => {
    const layer = simple(key, digest);
    return { ...layer, annotations: { ...layer.annotations, "dev.sigstore.cosign/certificate": "-----BEGIN CERTIFICATE-----" } };
  };
  const bundled = (key: KeyObject, digest: string): ReturnType<typeof bundle> => {
    const { mediaType, bytes } = bundle(key, digest);
    const document = JSON.parse(new TextDecoder().decode(bytes)) as object;
    const verificationMaterial = { certificate: { rawBytes: "MIIB" }, tlogEntries: [] };
    return { mediaType, bytes: Buffer.from(JSON.stringify({ ...document, verificationMaterial })) };
  };
  for (const [index, made] of [annotated, bundled].entries()) {
    const target = registry.put([{ mediaType: MEDIA.ociLayer, bytes: Buffer.from(`keyless ${index}`) }]);
    registry.refer(target.digest, registry.put([made(STRANGER.privateKey, target.digest)]));
    const { publicKey, privateKey } = KEYS.ed25519;
    expect(await refusal(registry, target, { keys: [publicKey] })).toContain(
      `a signature of ${target.digest} is by a certificate (keyless), and only known keys count here`,
    );
    registry.refer(target.digest, registry.put([made(privateKey, target.digest)]));
    expect(await verify(registry, target, { keys: [publicKey] })).toHaveLength(1);
  }
});

test("a policy looks at what it names: required, warn, off, and the name that was signed", async () => {
  await using registry = new MemoryRegistry();
  const target = image(registry);
  const keys = [pem(KEYS["P-256"].publicKey)];
  const rule = (mode: string, more: object = {}): object => ({ rules: [{ images: `${registry.host}/*`, mode, keys, ...more }] });
  expect(await verify(registry, target, { policy: {} })).toEqual([]);
  expect(await verify(registry, target, { policy: rule("off") })).toEqual([]);
  expect(await verify(registry, target, { policy: { rules: [{ images: "docker.io/**", keys }] } })).toEqual([]);
  const [warning = ""] = await verify(registry, target, { policy: rule("warn") });
  expect(warning).toStartWith(`WARNING: ${registry.host}/x:1: no signature of ${target.digest} was found, and the policy `);
  expect(await refusal(registry, target, { policy: rule("required") })).toContain("no signature");
  expect(await refusal(registry, target, { policy: { default: "required" } })).toContain("no signature");
  registry.put([simple(KEYS["P-256"].privateKey, target.digest, "elsewhere.test/y")], `${target.digest.replace(":", "-")}.sig`);
  expect(await verify(registry, target, { policy: rule("required") })).toHaveLength(1);
  expect(await refusal(registry, target, { policy: rule("required", { identity: true }) })).toContain('is for "elsewhere.test/y", not for');
  expect(await verify(registry, target, { policy: rule("warn"), keys: [] })).toHaveLength(1);
  expect(await refusal(registry, target, { policy: rule("required"), keys: [STRANGER.publicKey] })).toContain("the pull wants it signed");
});

test("nothing is pulled by a policy, or with keys, that cannot be used", async () => {
  await using registry = new MemoryRegistry();
  const target = image(registry);
  const small = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
  const missing = join(folder, "none.pem");
  const rule = { images: "**", keys: [missing] };
  await expect(verify(registry, target, { policy: { rules: [rule] } })).rejects.toThrow(`Cannot use the key "${missing}"`);
  await expect(verify(registry, target, { keys: [small] })).rejects.toThrow("it is RSA with 1024 bits");
  await expect(verify(registry, target, { keys: [] })).rejects.toThrow("no key is known for it");
  const source: Source = { repositories: [], target };
  const absent = { path: missing, required: true };
  await expect(verifySource(absent, parseReference("x"), source, undefined)).rejects.toThrow(
    `Cannot use the signature policy "${missing}"`,
  );
  expect(await verifySource({ path: missing, required: false }, parseReference("x"), source, undefined)).toEqual([]);
});

test("a policy's mistakes are named", () => {
  const wrong: [unknown, string][] = [
    [[], "expected an object"],
    [{ rule: [] }, 'unknown key "rule"'],
    [{ default: "on" }, '"default" must be required, warn or off'],
    [{ rules: {} }, '"rules" must be a list'],
    [{ rules: [{ keys: ["k"] }] }, '"rules[0].images" must be'],
    [{ rules: [{ images: "x", mode: "maybe" }] }, '"rules[0].mode" must be'],
    [{ rules: [{ images: "x" }] }, '"rules[0]" requires signatures, but names no keys'],
    [{ rules: [{ images: "x", keys: "k" }] }, '"rules[0].keys" must be'],
    [{ rules: [{ images: "x", keys: ["k"], until: 1 }] }, 'unknown key "until" in "rules[0]"'],
  ];
  for (const [json, text] of wrong) expect(() => parsePolicy(json, "p")).toThrow(text);
});

test("patterns: a star stays between slashes, two do not", () => {
  expect(matches("docker.io/library/*", "docker.io/library/busybox")).toBe(true);
  expect(matches("docker.io/library/*", "docker.io/library/a/b")).toBe(false);
  expect(matches("docker.io/**", "docker.io/library/a/b")).toBe(true);
  expect(matches("a.b/c", "aXb/c")).toBe(false);
  expect(matches("**", "anything:5000/at/all")).toBe(true);
});

test("a rule holds for its registry however the host is spelled", async () => {
  const { path } = await policyOf({
    rules: [
      {
        images: ["ghcr.io/**", "docker.io/library/*", "Registry.Test:443/x", "[::1]:5000/**"],
        mode: "required",
        keys: [pem(KEYS.ed25519.publicKey)],
      },
    ],
  });
  const rule = (name: string) => policyFor(path, parseReference(name), { required: true });
  const same = ["ghcr.io/a/b", "GHCR.IO/a/b", "ghcr.io:443/a/b", "GhCr.Io:0443/a", "busybox", "index.docker.io/busybox"];
  same.push("registry-1.docker.io/library/busybox", "Docker.IO/library/busybox", "registry.test/x", "[0::1]:5000/x");
  for (const name of same) expect(await rule(name), name).toMatchObject({ mode: "required" });
  for (const name of ["ghcr.io:444/a/b", "xghcr.io/a", "docker.io/other/busybox", "registry.test/y"])
    expect(await rule(name), name).toBeUndefined();
  expect(["**", "host*:443/x", "HOST:80/X"].map(oneSpelling)).toEqual(["**", "host*:443/x", "host:80/X"]);
});

test("what cannot be read beside a good signature does not take it away, in any order", async () => {
  const { publicKey, privateKey } = KEYS.ed25519;
  const type = MEDIA.ociManifest;
  const bad: Record<string, (registry: MemoryRegistry, digest: Digest) => void> = {
    "not JSON": (registry, digest) => registry.manifests.set(digest, { type, text: "{" }),
    "no object": (registry, digest) => registry.manifests.set(digest, { type, text: "null" }),
    "too large": (registry, digest) => registry.manifests.set(digest, { type, text: " ".repeat(5 << 20) }),
    refused: (registry, digest) => registry.broken.add(`/v2/x/manifests/${digest}`),
    artifact: (registry, digest) =>
      registry.manifests.set(digest, { type: "application/vnd.oci.artifact.manifest.v1+json", text: `{"blobs":[]}` }),
  };
  for (const [name, spoil] of Object.entries(bad)) {
    await using registry = new MemoryRegistry();
    const target = image(registry);
    const digest = digestOf(name);
    spoil(registry, digest);
    registry.refer(target.digest, { mediaType: type, digest, size: 1 });
    expect(await refusal(registry, target, { keys: [publicKey] }), name).toContain("the pull wants it signed");
    registry.refer(target.digest, registry.put([simple(privateKey, target.digest)]));
    expect(await verify(registry, target, { keys: [publicKey] }), name).toHaveLength(1);
  }
  await using registry = new MemoryRegistry();
  const target = image(registry);
  const tag = `${target.digest.replace(":", "-")}.sig`;
  registry.put([simple(privateKey, target.digest)], tag);
  registry.broken.add(`/v2/x/referrers/${target.digest}`);
  expect(await verify(registry, target, { keys: [publicKey] })).toHaveLength(1);
  registry.manifests.set(tag, { type, text: "{" });
  await expect(verify(registry, target, { keys: [publicKey] })).rejects.toThrow();
  const rule = { images: "**", mode: "warn", keys: [pem(publicKey)] };
  const [warning = ""] = await verify(registry, target, { policy: { rules: [rule] } });
  expect(warning).toMatch(/^WARNING: .*: its signatures cannot be read \(.*\), and the policy .* wants it signed$/);
});

test("of a statement about several subjects, the name of the image's own counts", async () => {
  const { publicKey, privateKey } = KEYS.ed25519;
  const other = digestOf("another image");
  for (const good of [true, false]) {
    await using registry = new MemoryRegistry();
    const target = image(registry);
    const [own, foreign] = [`${registry.host}/x`, "elsewhere.test/y"];
    const names = good ? { [foreign]: other, [own]: target.digest } : { [own]: other, [foreign]: target.digest };
    registry.refer(target.digest, registry.put([bundle(privateKey, target.digest, SIGN, names)]));
    const policy = { rules: [{ images: "**", keys: [pem(publicKey)], identity: true }] };
    if (good) expect(await verify(registry, target, { policy })).toHaveLength(1);
    else expect(await refusal(registry, target, { policy })).toContain('is for "elsewhere.test/y", not for');
  }
});
