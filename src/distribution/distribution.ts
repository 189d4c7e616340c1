import type { Reference } from "../base/reference.ts";
import type { Descriptor, Digest } from "../oci/image.ts";

/** Name and secret for a registry, as docker's X-Registry-Auth header carries them. */
export interface Credentials {
  username?: string;
  password?: string;
  /** An OAuth2 refresh token instead of a password. */
  identityToken?: string;
  /** A bearer token that is used as it is. */
  registryToken?: string;
}

/** One address of a registry: `https://registry-1.docker.io`, or a unix socket of ours. */
export interface RegistryHost {
  url: string;
  /** Path of a unix socket to connect to instead of the URL's host. */
  unix?: string;
  /** HTTP, or HTTPS without a check of the certificate, is allowed. */
  insecure: boolean;
}

/** One repository that a search found; the names of its fields are those of Docker's protocol. */
export interface FoundRepository {
  name: string;
  description: string;
  star_count: number;
  is_official: boolean;
  is_automated: boolean;
}

export interface FetchedManifest {
  descriptor: Descriptor;
  bytes: Uint8Array;
}

/**
 * A client of one repository: the OCI distribution protocol and Docker's v2. Errors: `not-found` (404, with Docker's text for manifests), `unauthorized`
 * (401 after the token flow, 403 as `forbidden`), `too-many` (429), `unavailable` (no connection, DNS, time-out, 5xx after retries), `invalid` (garbage, wrong digest).
 */
export interface Repository {
  readonly host: RegistryHost;
  /** Whether the registry answers at all, whatever it answers. Throws `unavailable` (see `isNetworkFailure`) after `timeout` milliseconds (default 15 s). */
  ping(options?: { signal?: AbortSignal; timeout?: number }): Promise<void>;
  /** HEAD: what a tag points at, or undefined where the registry does not say. `retry: false` takes the first answer as it is. */
  resolve(reference: string, options?: { signal?: AbortSignal; retry?: boolean }): Promise<Descriptor | undefined>;
  /** The manifest or index by tag or digest; its digest is checked where one is asked for. */
  manifest(reference: string, options?: { signal?: AbortSignal; retry?: boolean; mediaTypes?: string[] }): Promise<FetchedManifest>;
  /** The bytes of a blob from an offset on. `offset` in the answer is where they really start (0 when ranges are not served). */
  blob(
    digest: Digest,
    options?: { offset?: number; signal?: AbortSignal; urls?: string[] },
  ): Promise<{ body: ReadableStream<Uint8Array>; offset: number; size: number | undefined }>;
  hasBlob(digest: Digest, options?: { signal?: AbortSignal }): Promise<boolean>;
  /** Uploads a blob in chunks, or mounts it from another repository of the same registry. */
  upload(options: {
    digest: Digest;
    size: number;
    open: (offset: number) => ReadableStream<Uint8Array>;
    mountFrom?: string;
    progress?: (done: number) => void;
    signal?: AbortSignal;
  }): Promise<"uploaded" | "mounted" | "exists">;
  putManifest(reference: string, bytes: Uint8Array, mediaType: string, options?: { signal?: AbortSignal }): Promise<Digest>;
  tags(options?: { signal?: AbortSignal }): Promise<string[]>;
}

/** Opens repositories: picks addresses, schemes, mirrors and tokens. Keeps tokens and connections between calls. */
export interface Distribution {
  /** The addresses to try, in order: mirrors, then the registry itself; or `host` alone where it is given (the built-in registry). */
  repository(reference: Reference, options: { credentials?: Credentials; push?: boolean; host?: RegistryHost }): Repository[];
  /** Checks credentials against a registry (`docker login`): the status text, and an identity token where one is given. */
  login(registry: string, credentials: Credentials): Promise<{ status: string; identityToken: string }>;
  /** Looks for repositories: `host/term`, or a term for Docker Hub. Throws `unavailable` where the registry answers no searches. */
  search(text: string, options: { limit: number; credentials?: Credentials; signal?: AbortSignal }): Promise<FoundRepository[]>;
}

export interface DistributionOptions {
  insecureRegistries: string[];
  /** Mirrors of docker.io, from daemon.json. */
  registryMirrors: string[];
  /** Directories of `<host>/{ca.crt,client.cert,client.key}`, Docker's first. */
  certificateDirectories: string[];
  userAgent: string;
}
