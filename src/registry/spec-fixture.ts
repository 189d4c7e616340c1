import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openContent } from "../content/open.ts";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { State } from "../state/state.ts";
import { DEFAULT_REGISTRY, type RegistryConfig } from "./config.ts";
import { openRegistry } from "./open.ts";
import { REGISTRY_ROOTS } from "./rows.ts";
import type { Settings } from "./settings.ts";

/** A registry for tests on a free port of the loopback. */
export interface TestRegistry extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  address: string;
  folder: string;
  state: State;
  /** A request, redirects not followed. */
  call(
    method: string,
    path: string,
    options?: { body?: string | Uint8Array<ArrayBuffer>; headers?: Record<string, string> },
  ): Promise<Response>;
  /** Begins an upload; where it goes on. */
  begin(repository: string, query?: string): Promise<string>;
  /** Pushes a blob; its descriptor. */
  pushBlob(repository: string, text: string, mediaType?: string): Promise<Descriptor>;
  /** Pushes an image of one layer, with more fields of the manifest if given. */
  pushImage(
    repository: string,
    reference: string,
    fields?: Record<string, unknown>,
  ): Promise<{ digest: Digest; manifest: string; response: Response }>;
}

/** Opens a registry in a folder of its own, or in one that is kept. */
export async function openTestRegistry(config: Partial<RegistryConfig> = {}, root?: string, settings?: Settings): Promise<TestRegistry> {
  const folder = root ?? (await mkdtemp(join(tmpdir(), "lighter-spec-")));
  const state = new State(join(folder, "state.db"));
  const content = await openContent({ dataRoot: folder, state, roots: [REGISTRY_ROOTS] });
  const network = { config: { ...DEFAULT_REGISTRY, addresses: ["127.0.0.1:0"], ...config }, folder };
  const shipped = (): Promise<[]> => Promise.resolve([]);
  const registry = await openRegistry({ state, content, socket: join(folder, "r.sock"), shipped, network, settings });
  const address = registry.addresses[0] ?? "";
  const call: TestRegistry["call"] = (method, path, options = {}) =>
    fetch(new URL(path, address), { method, redirect: "manual", tls: { rejectUnauthorized: false }, ...options });
  const pushBlob: TestRegistry["pushBlob"] = async (repository, text, mediaType = "application/octet-stream") => {
    const digest = digestOf(text);
    await must(call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: text }), 201);
    return { mediaType, digest, size: Buffer.byteLength(text) };
  };
  return {
    address,
    folder,
    state,
    call,
    async begin(repository, query = "") {
      const begun = await must(call("POST", `/v2/${repository}/blobs/uploads/${query}`, { headers: { "content-length": "0" } }), 202);
      return begun.headers.get("location") ?? "";
    },
    pushBlob,
    async pushImage(repository, reference, fields = {}) {
      const config = await pushBlob(repository, "{}", MEDIA.ociConfig);
      const layer = await pushBlob(repository, "layer", MEDIA.ociLayer);
      const manifest = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers: [layer], ...fields });
      const response = await call("PUT", `/v2/${repository}/manifests/${reference}`, {
        body: manifest,
        headers: { "content-type": MEDIA.ociManifest },
      });
      return { digest: digestOf(manifest), manifest, response };
    },
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      state.close();
      if (root === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The answer, which must have this status. */
export async function must(answer: Promise<Response>, status: number): Promise<Response> {
  const response = await answer;
  if (response.status !== status) throw new Error(`${response.url}: ${response.status} instead of ${status}: ${await response.text()}`);
  return response;
}

/** The codes of a refusal. */
export async function codesOf(response: Response): Promise<string[]> {
  const { errors } = (await response.json()) as { errors: { code: string }[] };
  return errors.map(({ code }) => code);
}

/** The SHA-512 digest of text. */
export function sha512(text: string): string {
  return `sha512:${new Bun.CryptoHasher("sha512").update(text).digest("hex")}`;
}
