import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { openContent } from "../content/open.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { DEFAULT_REGISTRY } from "./config.ts";
import { openRegistry } from "./open.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import { shippedImages } from "./shipped.ts";
import { openTestRegistry } from "./spec-fixture.ts";

test("TLS with a certificate that is made here, once", async () => {
  const root = await mkdtemp(join(tmpdir(), "lighter-tls-"));
  const { cert } = await (async () => {
    await using registry = await openTestRegistry({ tls: {} }, root);
    expect(registry.address).toStartWith("https://127.0.0.1:");
    const ca = await readFile(join(root, "tls/registry.crt"), "utf8");
    expect((await fetch(`${registry.address}/v2/`, { tls: { ca } })).status).toBe(200);
    await expect(fetch(`${registry.address}/v2/`)).rejects.toThrow(/certificate|self/i);
    return { cert: ca };
  })();
  expect(new X509Certificate(cert).subjectAltName).toContain("127.0.0.1");
  expect((await stat(join(root, "tls/registry.key"))).mode & 0o777).toBe(0o600);
  await using again = await openTestRegistry({ tls: {} }, root);
  expect(await readFile(join(root, "tls/registry.crt"), "utf8")).toBe(cert);
  await again.call("GET", "/v2/");
  await rm(root, { recursive: true });
});

test.skipIf(Bun.which("openssl") === null)("TLS with a certificate that is given, and clients that must show one of a CA", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lighter-clients-"));
  const made = async (name: string): Promise<{ cert: string; key: string }> => {
    const files = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`];
    await Bun.$`openssl req ${kind} -addext subjectAltName=IP:127.0.0.1 -keyout ${files.key} -out ${files.cert}`.quiet();
    return files;
  };
  const [server, client, stranger] = [await made("server"), await made("client"), await made("stranger")];
  await using registry = await openTestRegistry({ tls: { ...server, clientCa: client.cert } });
  const ask = async (shown?: { cert: string; key: string }): Promise<Response> => {
    const own = shown && { cert: await readFile(shown.cert, "utf8"), key: await readFile(shown.key, "utf8") };
    return await fetch(`${registry.address}/v2/`, { tls: { ca: await readFile(server.cert, "utf8"), ...own } });
  };
  expect((await ask(client)).status).toBe(200);
  await expect(ask()).rejects.toThrow();
  await expect(ask(stranger)).rejects.toThrow();
  await expect(openTestRegistry({ tls: { cert: server.cert } })).rejects.toThrow("a certificate needs its key");
  await expect(openTestRegistry({ tls: { cert: "/none", key: "/none" } })).rejects.toThrow('reading "/none" failed');
  await rm(folder, { recursive: true });
});

test("addresses beyond the loopback need TLS, or to be told that they do not", async () => {
  await expect(openTestRegistry({ addresses: ["0.0.0.0:0"] })).rejects.toThrow("without TLS passwords and images travel in the clear");
  await expect(openTestRegistry({ addresses: ["nonsense"] })).rejects.toThrow("expected HOST:PORT");
  await using open = await openTestRegistry({ addresses: ["0.0.0.0:0"], plain: true });
  expect((await open.call("GET", "/v2/")).status).toBe(200);
});

const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === "::1"));
test.skipIf(!hasIpv6)("several addresses, one of them of IPv6", async () => {
  await using registry = await openTestRegistry({ addresses: ["[::1]:0", "127.0.0.1:0"] });
  expect([registry.address.startsWith("http://[::1]:"), (await registry.call("GET", "/v2/")).status]).toEqual([true, 200]);
});

test("what stands in for Docker Hub cannot be changed or added to from the network", async () => {
  const root = await mkdtemp(join(tmpdir(), "lighter-shipped-"));
  const state = new State(join(root, "state.db"));
  const content = await openContent({ dataRoot: root, state, roots: [REGISTRY_ROOTS] });
  const network = { config: { ...DEFAULT_REGISTRY, addresses: ["127.0.0.1:0"] }, folder: root };
  const registry = await openRegistry({ state, content, socket: join(root, "r.sock"), shipped: shippedImages, network });
  const ask = async (method: string, path: string): Promise<number> =>
    (await fetch(`${registry.addresses[0]}/v2/${path}`, { method })).status;
  expect(await ask("HEAD", "library/hello-world/manifests/latest")).toBe(200);
  for (const [method, path] of [
    ["POST", "blobs/uploads/"],
    ["PUT", "manifests/latest"],
    ["DELETE", "manifests/latest"],
  ] as const)
    expect(await ask(method, `library/hello-world/${path}`)).toBe(403);
  const digest = digestOf("x");
  const pushed = await fetch(`${registry.addresses[0]}/v2/library/busybox/blobs/uploads/?digest=${digest}`, { method: "POST", body: "x" });
  expect(pushed.status).toBe(201);
  const manifest = JSON.stringify({ schemaVersion: 2, config: { mediaType: MEDIA.ociConfig, digest, size: 1 }, layers: [] });
  const headers = { "content-type": MEDIA.ociManifest };
  const tagged = await fetch(`${registry.addresses[0]}/v2/library/busybox/manifests/latest`, { method: "PUT", body: manifest, headers });
  expect(tagged.status).toBe(201);
  expect([registry.has("library/hello-world"), registry.has("library/busybox")]).toEqual([true, false]);
  await registry[Symbol.asyncDispose]();
  state.close();
  await rm(root, { recursive: true });
});
