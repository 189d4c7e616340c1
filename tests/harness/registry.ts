import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, hexOf } from "../../src/oci/digest.ts";
import { isIndex, type Descriptor, type Digest, type Index, type Manifest } from "../../src/oci/image.ts";
import { dockerRegistry } from "../../tools/programs.ts";
import { freePort } from "./ports.ts";
import { until } from "./until.ts";

/** Debian's docker-registry on a loopback port of its own, its blobs in a temporary folder. */
export class TestRegistry {
  /** `127.0.0.1:<port>`, the first part of references to its images. */
  readonly host: string;
  readonly folder: string;
  readonly #child: Bun.Subprocess;

  private constructor(host: string, folder: string, child: Bun.Subprocess) {
    this.host = host;
    this.folder = folder;
    this.#child = child;
  }

  /** @param more further sections of its configuration (`auth`, `proxy`, `http.tls`); with `http.tls` it speaks HTTPS */
  static async start(folder: string, more: { http?: object; auth?: object; proxy?: object } = {}): Promise<TestRegistry> {
    await mkdir(folder, { recursive: true });
    const host = `127.0.0.1:${freePort()}`;
    const config = {
      version: "0.1",
      log: { level: "warn" },
      storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
      ...more,
      http: { addr: host, ...more.http },
    };
    await Bun.write(join(folder, "config.yml"), JSON.stringify(config)); // JSON is YAML
    const log = Bun.file(join(folder, "registry.log"));
    const child = Bun.spawn([await dockerRegistry(), "serve", join(folder, "config.yml")], { stdout: log, stderr: log });
    const url = `${more.http !== undefined && "tls" in more.http ? "https" : "http"}://${host}/v2/`;
    const answers = [200, 401];
    await until("the registry answers", async () => answers.includes((await fetch(url, { tls: { rejectUnauthorized: false } })).status));
    return new TestRegistry(host, folder, child);
  }

  /** Uploads the image of an OCI layout and tags it. */
  async push(layout: string, repository: string, tag = "latest"): Promise<Digest> {
    const index = (await Bun.file(join(layout, "index.json")).json()) as Index;
    const entry = index.manifests[0];
    if (entry === undefined) throw new Error(`${layout}: its index is empty`);
    await this.#pushManifest(layout, repository, entry, tag);
    return entry.digest;
  }

  async #pushManifest(layout: string, repository: string, entry: Descriptor, reference: string): Promise<void> {
    const text = await Bun.file(blobPath(layout, entry.digest)).text();
    if (isIndex(entry.mediaType)) {
      for (const child of (JSON.parse(text) as Index).manifests) await this.#pushManifest(layout, repository, child, child.digest);
    } else {
      const manifest = JSON.parse(text) as Manifest;
      for (const { digest } of [manifest.config, ...manifest.layers]) await this.#pushBlob(layout, repository, digest);
    }
    const headers = { "content-type": entry.mediaType };
    await created(fetch(`http://${this.host}/v2/${repository}/manifests/${reference}`, { method: "PUT", body: text, headers }));
  }

  async #pushBlob(layout: string, repository: string, digest: Digest): Promise<void> {
    await this.#upload(repository, digest, Bun.file(blobPath(layout, digest)));
  }

  /** Uploads bytes as a blob; its descriptor. */
  async pushBytes(repository: string, bytes: Uint8Array<ArrayBuffer>, mediaType: string): Promise<Descriptor> {
    const digest = digestOf(bytes);
    await this.#upload(repository, digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** Uploads a manifest or an index under a tag; its digest. */
  async pushDocument(repository: string, document: Manifest | Index, tag: string): Promise<Digest> {
    const body = JSON.stringify(document);
    const headers = { "content-type": document.mediaType ?? "" };
    await created(fetch(`http://${this.host}/v2/${repository}/manifests/${tag}`, { method: "PUT", body, headers }));
    return digestOf(body);
  }

  async #upload(repository: string, digest: Digest, body: Uint8Array<ArrayBuffer> | Bun.BunFile): Promise<void> {
    const upload = await created(fetch(`http://${this.host}/v2/${repository}/blobs/uploads/`, { method: "POST" }));
    const location = new URL(upload.headers.get("location") ?? "", `http://${this.host}`);
    location.searchParams.set("digest", digest);
    const headers = { "content-type": "application/octet-stream" };
    await created(fetch(location, { method: "PUT", body, headers }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

function blobPath(layout: string, digest: Digest): string {
  return join(layout, "blobs/sha256", hexOf(digest));
}

async function created(answer: Promise<Response>): Promise<Response> {
  const response = await answer;
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return response;
}
