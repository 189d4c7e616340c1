import { digestOf } from "../../src/oci/digest.ts";
import { MEDIA, type Descriptor, type Index } from "../../src/oci/image.ts";
import { testImage } from "../../tools/test-images.ts";
import type { TestRegistry } from "./registry.ts";

/** A statement as BuildKit attaches it. */
export const STATEMENT = {
  _type: "https://in-toto.io/Statement/v0.1",
  predicateType: "https://slsa.dev/provenance/v1",
  subject: [{ name: "pkg:docker/attested", digest: { sha256: "0".repeat(64) } }],
  predicate: { buildDefinition: { buildType: "test", count: 12 } },
};

/** The type of a second statement, a bill of materials. */
export const SBOM_TYPE = "https://spdx.dev/Document";

/** Puts an index of busybox and what is attested of it into a registry, in the form of BuildKit. Returns the descriptors of index, image and attestation. */
export async function pushAttested(
  registry: TestRegistry,
  repository: string,
): Promise<{ index: Descriptor; image: Descriptor; attestation: Descriptor }> {
  const { layout } = await testImage("busybox");
  await registry.push(layout, repository);
  const { manifests } = (await Bun.file(`${layout}/index.json`).json()) as Index;
  const [entry] = manifests;
  if (entry === undefined) throw new Error("busybox has no manifest");
  const image: Descriptor = { mediaType: entry.mediaType, digest: entry.digest, size: entry.size };
  const put = async (text: string, mediaType: string): Promise<Descriptor> => {
    const digest = digestOf(text);
    await put201(registry, repository, text, mediaType, digest);
    return { mediaType, digest, size: Buffer.byteLength(text) };
  };
  const layers = [];
  for (const statement of [STATEMENT, { ...STATEMENT, predicateType: SBOM_TYPE }]) {
    const blob = await putBlob(registry, repository, JSON.stringify(statement));
    layers.push({
      ...blob,
      mediaType: "application/vnd.in-toto+json",
      annotations: { "in-toto.io/predicate-type": statement.predicateType },
    });
  }
  const config = {
    ...(await putBlob(registry, repository, JSON.stringify({ architecture: "unknown", os: "unknown" }))),
    mediaType: MEDIA.ociConfig,
  };
  const attestation = await put(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers }), MEDIA.ociManifest);
  const platform = { architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux" };
  const annotations = { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest };
  const about = { ...attestation, platform: { architecture: "unknown", os: "unknown" }, annotations };
  const text = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [{ ...image, platform }, about] });
  const index = await put(text, MEDIA.ociIndex);
  await put201(registry, repository, text, MEDIA.ociIndex, "latest");
  return { index, image, attestation };
}

async function put201(registry: TestRegistry, repository: string, body: string, type: string, reference: string): Promise<void> {
  const url = `http://${registry.host}/v2/${repository}/manifests/${reference}`;
  const answer = await fetch(url, { method: "PUT", body, headers: { "content-type": type } });
  if (answer.status !== 201) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
}

async function putBlob(registry: TestRegistry, repository: string, body: string): Promise<Omit<Descriptor, "mediaType">> {
  const begun = await fetch(`http://${registry.host}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const location = new URL(begun.headers.get("location") ?? "", `http://${registry.host}`);
  const digest = digestOf(body);
  location.searchParams.set("digest", digest);
  const answer = await fetch(location, { method: "PUT", body });
  if (answer.status !== 201) throw new Error(`${location.href}: ${answer.status} ${await answer.text()}`);
  return { digest, size: Buffer.byteLength(body) };
}
