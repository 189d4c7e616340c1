import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { digestOf } from "../oci/digest.ts";
import { MEDIA, type Descriptor, type Digest, type ImageConfig, type Manifest } from "../oci/image.ts";

/** A registry for tests that does to its clients what real ones and real networks do. */
export interface HostileRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>`. */
  host: string;
  /** Every request, oldest first. */
  requests: { method: string; path: string; headers: IncomingMessage["headers"] }[];
  /** Bytes of blobs that were sent. */
  sent: number;
  faults: Faults;
  addBlob(bytes: Uint8Array, mediaType?: string): Descriptor;
  /** Stores a manifest under its digest and a tag. */
  addManifest(repository: string, tag: string, document: object, mediaType?: string): Descriptor;
  /** A whole image of the given layers (tar archives, packed as they are). */
  addImage(
    repository: string,
    tag: string,
    layers: { bytes: Uint8Array; diffId: Digest; mediaType?: string }[],
    config?: Partial<ImageConfig>,
  ): Descriptor;
}

export interface Faults {
  /** Answers in place of the registry where it returns true. */
  intercept?: (request: IncomingMessage, response: ServerResponse, path: string) => boolean | undefined;
  /** Breaks the connection after this many bytes of each blob's answer. */
  drop?: (digest: Digest) => number | undefined;
  /** Sends other bytes than those of the digest, of the same length. */
  corrupt?: Set<Digest>;
  /** Sends the blob of another digest. */
  swap?: Map<Digest, Digest>;
  noRanges?: boolean;
  /** Asks for a bearer token; with a name and a password, only for those. */
  token?: { username?: string; password?: string };
  /** Blobs are at another address. */
  redirectTo?: string;
}

export async function hostileRegistry(faults: Faults = {}): Promise<HostileRegistry> {
  const blobs = new Map<string, Uint8Array>();
  const manifests = new Map<string, { bytes: Uint8Array; mediaType: string }>();
  const registry: HostileRegistry = {
    host: "",
    requests: [],
    sent: 0,
    faults,
    addBlob(bytes, mediaType = "application/octet-stream") {
      const digest = digestOf(bytes);
      blobs.set(digest, bytes);
      return { mediaType, digest, size: bytes.length };
    },
    addManifest(repository, tag, document, mediaType = MEDIA.ociManifest) {
      const bytes = new TextEncoder().encode(JSON.stringify(document));
      const digest = digestOf(bytes);
      for (const name of [tag, digest]) manifests.set(`${repository}:${name}`, { bytes, mediaType });
      return { mediaType, digest, size: bytes.length };
    },
    addImage(repository, tag, layers, config = {}) {
      const diffIds = layers.map((layer) => layer.diffId);
      const full: ImageConfig = {
        os: "linux",
        architecture: process.arch === "x64" ? "amd64" : process.arch,
        rootfs: { type: "layers", diff_ids: diffIds },
        ...config,
      };
      const manifest: Manifest = {
        schemaVersion: 2,
        mediaType: MEDIA.ociManifest,
        config: registry.addBlob(new TextEncoder().encode(JSON.stringify(full)), MEDIA.ociConfig),
        layers: layers.map((layer) => registry.addBlob(layer.bytes, layer.mediaType ?? MEDIA.ociLayer)),
      };
      return registry.addManifest(repository, tag, manifest);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const server = await listen((request, response) => serve(registry, blobs, manifests, request, response));
  registry.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return registry;
}

function listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(handler);
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function serve(
  registry: HostileRegistry,
  blobs: Map<string, Uint8Array>,
  manifests: Map<string, { bytes: Uint8Array; mediaType: string }>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = new URL(request.url ?? "/", "http://registry");
  registry.requests.push({ method: request.method ?? "", path: url.pathname + url.search, headers: request.headers });
  const { faults } = registry;
  if (faults.intercept?.(request, response, url.pathname) === true) return;
  if (url.pathname === "/token") return giveToken(faults, request, response, url);
  if (faults.token !== undefined && request.headers.authorization !== "Bearer good") {
    const challenge = `Bearer realm="http://${registry.host}/token",service="hostile",scope="repository:x:pull"`;
    return refuse(response, 401, "UNAUTHORIZED", "authentication required", { "www-authenticate": challenge });
  }
  const [, repository = "", kind = "", name = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? [];
  if (url.pathname === "/v2/") return void response.writeHead(200).end("{}");
  if (kind === "manifests") {
    const found = manifests.get(`${repository}:${decodeURIComponent(name)}`);
    if (found === undefined) return refuse(response, 404, "MANIFEST_UNKNOWN", "manifest unknown");
    const headers = {
      "content-type": found.mediaType,
      "docker-content-digest": digestOf(found.bytes),
      "content-length": found.bytes.length,
    };
    response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : found.bytes);
  } else if (url.pathname.endsWith("/tags/list")) {
    const prefix = `${url.pathname.slice("/v2/".length, -"/tags/list".length)}:`;
    const tags = [...manifests.keys()]
      .filter((key) => key.startsWith(prefix) && !key.includes("sha256:"))
      .map((key) => key.slice(prefix.length));
    response.writeHead(200).end(JSON.stringify({ tags }));
  } else if (kind === "blobs") sendBlob(registry, blobs.get(faults.swap?.get(name as Digest) ?? name), name as Digest, request, response);
  else refuse(response, 404, "NAME_UNKNOWN", "repository name not known to registry");
}

function sendBlob(
  registry: HostileRegistry,
  blob: Uint8Array | undefined,
  digest: Digest,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { faults } = registry;
  if (blob === undefined) return refuse(response, 404, "BLOB_UNKNOWN", "blob unknown to registry");
  if (faults.redirectTo !== undefined) return void response.writeHead(307, { location: `${faults.redirectTo}/${digest}` }).end();
  const start = faults.noRanges === true ? 0 : Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const bytes = faults.corrupt?.has(digest) === true ? blob.map((byte) => byte ^ 1) : blob;
  const length = blob.length - start;
  const headers = { "content-length": length, "content-type": "application/octet-stream" };
  if (start > 0) response.writeHead(206, { ...headers, "content-range": `bytes ${start}-${blob.length - 1}/${blob.length}` });
  else response.writeHead(200, headers);
  if (request.method === "HEAD") return void response.end();
  const most = faults.drop?.(digest);
  const end = most === undefined ? blob.length : Math.min(blob.length, start + most);
  registry.sent += end - start;
  if (end >= blob.length) return void response.end(bytes.subarray(start));
  // Closed in order: a reset would take with it what the client has not read yet.
  response.write(bytes.subarray(start, end), () => setTimeout(() => response.socket?.end(), 5));
}

function giveToken(faults: Faults, request: IncomingMessage, response: ServerResponse, url: URL): void {
  const { username, password } = faults.token ?? {};
  const wanted = username === undefined ? undefined : `Basic ${btoa(`${username}:${password}`)}`;
  if (wanted !== undefined && request.headers.authorization !== wanted) return void response.writeHead(401).end();
  const refresh = url.searchParams.has("offline_token") ? { refresh_token: "refresh" } : {};
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ token: "good", expires_in: 300, ...refresh }));
}

function refuse(response: ServerResponse, status: number, code: string, message: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify({ errors: [{ code, message }] }));
}
