import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import type { Reference } from "../base/reference.ts";
import { MEDIA, type Descriptor, type Digest } from "../oci/image.ts";
import { digestOf } from "../oci/digest.ts";
import { readAtMost, refusalOf, type Attempt } from "./answers.ts";
import type { Connection } from "./connection.ts";
import type { FetchedManifest, HostCapability, RegistryHost, Repository } from "./distribution.ts";
import { healthKey, type Health } from "./health.ts";
import { describedBy, MANIFEST_TYPES, readManifest } from "./manifests.ts";
import { isCutShort } from "./network-failure.ts";
import { entriesOf, readReferrers, referrersTag } from "./referrers.ts";
import { isBrokenConnection, pause } from "./retry.ts";
import { type Referring, referringOf, withReferrer } from "./subject.ts";
import { uploadBlob, type UploadOptions } from "./upload.ts";
import type { Warned } from "./warnings.ts";

type Cancel = { signal?: AbortSignal; retry?: boolean };

/** How often a manifest is asked for whose connection breaks while it arrives. */
const DOCUMENT_ATTEMPTS = 3;

/** One repository at one address. */
export class RemoteRepository implements Repository {
  readonly #connection: Connection;
  readonly #reference: Reference;
  readonly #push: boolean;
  readonly #scopes: readonly string[];
  readonly #health: Health;
  readonly #warned: Warned | undefined;

  constructor(
    connection: Connection,
    reference: Reference,
    { push, health, warned }: { push: boolean; health: Health; warned?: Warned | undefined },
  ) {
    this.#connection = connection;
    this.#reference = reference;
    this.#push = push;
    this.#health = health;
    this.#warned = warned;
    this.#scopes = [`repository:${reference.repository}:${push ? "pull,push" : "pull"}`];
  }

  get host(): RegistryHost {
    return this.#connection.host;
  }

  get trusted(): boolean {
    return this.host.mirror !== true || this.#health.failure(healthKey(this.host)) === undefined;
  }

  distrust(reason: string): void {
    if (this.host.mirror === true) this.#health.failed(healthKey(this.host), reason);
  }

  can(capability: HostCapability): boolean {
    return this.host.capabilities?.includes(capability) !== false;
  }

  async ping(options: Cancel & { timeout?: number } = {}): Promise<void> {
    await this.#connection.ping(options);
  }

  async knock({ signal }: Cancel = {}): Promise<void> {
    const response = await this.#connection.request({ method: "GET", path: "/v2/", scopes: this.#scopes, signal, retry: false });
    await response.body?.cancel().catch(() => undefined);
  }

  async resolve(reference: string, options: Cancel = {}): Promise<Descriptor | undefined> {
    const path = this.#path(`manifests/${reference}`);
    const headers = { accept: MANIFEST_TYPES.join(", ") };
    try {
      const response = await this.#request("HEAD", path, { ...options, retry: false }, headers);
      // An answer to HEAD has no body to say why it refuses: GET tells.
      return response.ok ? describedBy(response) : undefined;
    } catch (error) {
      if (isBrokenConnection(error)) return undefined;
      throw error;
    }
  }

  async manifest(reference: string, options: Cancel & { mediaTypes?: string[] } = {}): Promise<FetchedManifest> {
    const path = this.#path(`manifests/${reference}`);
    const headers = { accept: (options.mediaTypes ?? MANIFEST_TYPES).join(", ") };
    return this.#whole(options, async () => {
      const response = await this.#request("GET", path, options, headers);
      if (!response.ok) throw await refusalOf(response, this.#attempt("GET", path, reference));
      return readManifest(response, reference, this.#reference);
    });
  }

  async blob(
    digest: Digest,
    options: Cancel & { offset?: number; end?: number; urls?: string[] } = {},
  ): Promise<{ body: ReadableStream<Uint8Array>; offset: number; end?: number; size: number | undefined }> {
    const path = this.#path(`blobs/${digest}`);
    const headers = rangeOf(options);
    let response = await this.#request("GET", path, options, headers);
    if (response.status === 404 && options.urls !== undefined && options.urls.length > 0) {
      response = await this.#foreign(options.urls, headers, options.signal);
    }
    if (response.status === 416) {
      await response.body?.cancel().catch(() => undefined);
      response = await this.#request("GET", path, options, {});
    }
    if (!response.ok) throw await refusalOf(response, { ...this.#attempt("GET", path), manifest: digest });
    return { body: response.body ?? new Blob([]).stream(), ...extentOf(response) };
  }

  async hasBlob(digest: Digest, options: Cancel = {}): Promise<boolean> {
    const path = this.#path(`blobs/${digest}`);
    const response = await this.#request("HEAD", path, options, {});
    if (response.ok || response.status === 404) return response.ok;
    throw await refusalOf(response, this.#attempt("HEAD", path));
  }

  async upload(options: UploadOptions): Promise<"uploaded" | "mounted" | "exists"> {
    if (await this.hasBlob(options.digest, options)) return "exists";
    const attempt = (method: string, path: string): Attempt => this.#attempt(method, path);
    const target = {
      connection: this.#connection,
      repository: this.#reference.repository,
      scopes: this.#scopes,
      attempt,
      warned: this.#warned,
    };
    return uploadBlob(target, options, () => this.hasBlob(options.digest, options));
  }

  async putManifest(reference: string, bytes: Uint8Array, mediaType: string, options: Cancel = {}): Promise<Digest> {
    const path = this.#path(`manifests/${reference}`);
    const body = new Uint8Array(bytes);
    const referring = referringOf(body);
    const type = referring.mediaType ?? mediaType;
    const request = {
      method: "PUT",
      path,
      scopes: this.#scopes,
      signal: options.signal,
      headers: { "content-type": type },
      body,
      warned: this.#warned,
    };
    const response = await this.#connection.request({ ...request, retry: true });
    if (!response.ok) throw await refusalOf(response, this.#attempt("PUT", path, reference));
    await response.body?.cancel().catch(() => undefined);
    const digest = digestOf(body);
    if (referring.subject !== undefined && !response.headers.has("oci-subject"))
      await this.#listReferrer(referring.subject, { mediaType: type, digest, size: body.length }, referring, options);
    return digest;
  }

  /** For a registry that keeps no lists of what refers to what: they stand under tags, which clients keep. */
  async #listReferrer(subject: Digest, referrer: Descriptor, referring: Referring, options: Cancel): Promise<void> {
    const tag = referrersTag(subject);
    const list = await this.manifest(tag, options).catch((error: unknown) => {
      if (kindOf(error) === "not-found") return undefined;
      throw error;
    });
    const next = withReferrer(list && { bytes: list.bytes, mediaType: list.descriptor.mediaType }, referrer, referring);
    if (next !== undefined) await this.putManifest(tag, next, MEDIA.ociIndex, options);
  }

  async tags(options: Cancel = {}): Promise<string[]> {
    const tags: string[] = [];
    let path: string | undefined = this.#path("tags/list?n=1000");
    for (let pages = 0; path !== undefined && pages < 1000; pages++) {
      const page: string = path;
      const { list, next } = await this.#whole(options, async () => {
        const response = await this.#request("GET", page, options, {});
        if (!response.ok) throw await refusalOf(response, this.#attempt("GET", page));
        return { list: await readTags(response), next: nextPage(response) };
      });
      tags.push(...list);
      path = next;
    }
    return [...new Set(tags)];
  }

  async referrers(digest: Digest, options: Cancel = {}): Promise<Descriptor[]> {
    const found: Descriptor[] = [];
    let path: string | undefined = this.#path(`referrers/${digest}`);
    for (let pages = 0; path !== undefined && pages < 20; pages++) {
      const response: Response = await this.#request("GET", path, options, { accept: MEDIA.ociIndex });
      const entries = await readReferrers(response);
      if (entries === undefined) return pages > 0 ? found : this.#taggedReferrers(digest, options);
      found.push(...entries);
      path = nextPage(response);
    }
    return found;
  }

  async #taggedReferrers(digest: Digest, options: Cancel): Promise<Descriptor[]> {
    try {
      return entriesOf((await this.manifest(referrersTag(digest), options)).bytes);
    } catch (error) {
      if (kindOf(error) === "not-found") return [];
      throw error;
    }
  }

  /** A small document is asked for again when its connection breaks in the middle; a mirror that sends rubbish is left out from then on. */
  async #whole<T>(options: Cancel, read: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await read();
      } catch (error) {
        if (kindOf(error) === "invalid") this.distrust(messageOf(error));
        if (options.retry === false || attempt >= DOCUMENT_ATTEMPTS || !isCutShort(error)) throw error;
        await pause(200 * attempt, options.signal);
      }
    }
  }

  async #request(method: string, path: string, { signal, retry }: Cancel, headers: Record<string, string>): Promise<Response> {
    try {
      const response = await this.#connection.request({ method, path, scopes: this.#scopes, headers, signal, retry, warned: this.#warned });
      if (response.status >= 500 || response.status === 429) this.distrust(`it answered with status ${response.status}`);
      else if (this.host.mirror === true) this.#health.succeeded(healthKey(this.host));
      return response;
    } catch (error) {
      if (kindOf(error) !== "cancelled") this.distrust(messageOf(error));
      throw error;
    }
  }

  /** Layers that a registry may not hand out lie at addresses of their own; no credentials go there. */
  async #foreign(urls: readonly string[], headers: Record<string, string>, signal: AbortSignal | undefined): Promise<Response> {
    let response: Response | undefined;
    for (const url of urls) {
      if (!/^https?:\/\//.test(url)) continue;
      await response?.body?.cancel().catch(() => undefined);
      response = await this.#connection.elsewhere(url, headers, signal);
      if (response.ok) return response;
    }
    return response ?? new Response(null, { status: 404 });
  }

  #path(rest: string): string {
    return `/v2/${this.#reference.repository}/${rest}`;
  }

  #attempt(method: string, path: string, manifest?: string): Attempt {
    const anonymous = this.#connection.credentials === undefined;
    const attempt: Attempt = { method, url: this.host.url + path, reference: this.#reference, push: this.#push, anonymous };
    return manifest === undefined ? attempt : { ...attempt, manifest };
  }
}

/** The header that asks for a part; none for the whole. RFC 9110 section 14.2. */
function rangeOf({ offset = 0, end }: { offset?: number; end?: number }): Record<string, string> {
  if (end !== undefined) return { range: `bytes=${offset}-${end - 1}` };
  return offset > 0 ? { range: `bytes=${offset}-` } : {};
}

/** Where the bytes of an answer start, where they end if it is a part, and how long the whole is. RFC 9110 section 14.4. */
function extentOf(response: Response): { offset: number; end?: number; size: number | undefined } {
  if (response.status === 206) {
    const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    if (size === undefined) throw new LighterError("invalid", "the registry sent a part of a blob, but not which one");
    return { offset: Number(first), end: Number(last) + 1, size: size === "*" ? undefined : Number(size) };
  }
  const length = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
  return { offset: 0, size: length === null ? undefined : Number(length) };
}

async function readTags(response: Response): Promise<string[]> {
  const { data } = await readAtMost(response, 16 << 20);
  try {
    const { tags } = JSON.parse(new TextDecoder().decode(data)) as { tags?: unknown };
    return Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === "string") : [];
  } catch (cause) {
    throw new LighterError("invalid", "cannot read the registry's list of tags: it is not JSON", { cause });
  }
}

/** The path of the next page, from a `Link` header (RFC 8288). */
export function nextPage(response: Response): string | undefined {
  const target = /<([^>]+)>\s*;[^,]*rel="?next"?/.exec(response.headers.get("link") ?? "")?.[1];
  if (target === undefined) return undefined;
  const url = URL.parse(target, "http://registry");
  return url === null ? undefined : url.pathname + url.search;
}
