import type { Reference } from "../base/reference.ts";
import type { Descriptor, Digest } from "../oci/image.ts";
import type { ProxySettings } from "./proxy.ts";
import type { Warned } from "./warnings.ts";

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
  /** Without `/v2`; may end in a path. */
  url: string;
  /** Path of a unix socket to connect to instead of the URL's host. */
  unix?: string;
  /** HTTP, or HTTPS without a check of the certificate, is allowed. */
  insecure: boolean;
  /** Not the registry itself: it gets no credentials of the registry, and is left out for a while after it failed. */
  mirror?: boolean;
  /** Sent as `ns=`, so that a mirror of several registries knows which one is meant. */
  namespace?: string;
  /** What it may be asked for; everything when left out. */
  capabilities?: readonly HostCapability[];
  /** The URL's path is that of the API: `/v2` is not appended. */
  overridePath?: boolean;
  /** Further headers of every request to it. */
  headers?: Readonly<Record<string, string>>;
  /** In place of what `certs.d` says. */
  tls?: HostTls;
  /** Milliseconds until the first answer, in place of the usual ones. */
  patience?: number;
  /** Credentials of the mirror's own. */
  credentials?: Credentials;
}

/** `resolve`: what a tag points at; `pull`: content by digest; `push`: uploads. */
export type HostCapability = "pull" | "resolve" | "push";

/** Files that TLS to one host uses, by absolute path. */
export interface HostTls {
  ca: readonly string[];
  client: readonly { cert: string; key: string }[];
  skipVerify: boolean;
}

/** How much is transferred at once; changes when the configuration is read again. */
export interface TransferLimits {
  /** Blobs downloaded at once in the whole engine, Docker's `max-concurrent-downloads`. */
  downloads: number;
  /** Blobs uploaded at once by one push, Docker's `max-concurrent-uploads`. */
  uploads: number;
  /** Fruitless attempts at one blob before a pull fails, Docker's `max-download-attempts`. */
  attempts: number;
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
  /** False for a mirror that failed a short while ago: others are to be asked. The registry itself is always trusted. */
  readonly trusted: boolean;
  /** Tells that what this address sent was wrong (another digest, a connection that breaks for ever): it is left out for a while. Does nothing for the registry itself. */
  distrust(reason: string): void;
  /** Whether the address may be asked for this: containerd's `capabilities`. */
  can(capability: HostCapability): boolean;
  /** Whether the registry answers at all, whatever it answers. Throws `unavailable` (see `isNetworkFailure`) after `timeout` milliseconds (default 15 s). */
  ping(options?: { signal?: AbortSignal; timeout?: number }): Promise<void>;
  /** One request that asks for nothing, answered whatever the answer is: how far away the registry is. */
  knock(options?: { signal?: AbortSignal }): Promise<void>;
  /** HEAD: what a tag points at, or undefined where the registry does not say. `retry: false` takes the first answer as it is. */
  resolve(reference: string, options?: { signal?: AbortSignal; retry?: boolean }): Promise<Descriptor | undefined>;
  /** The manifest or index by tag or digest; its digest is checked where one is asked for. */
  manifest(reference: string, options?: { signal?: AbortSignal; retry?: boolean; mediaTypes?: string[] }): Promise<FetchedManifest>;
  /**
   * The bytes of a blob from an offset on, up to `end` (exclusive) where it is given. In the answer `offset` is where they really start, `end` where they
   * end (exclusive); without an `end` all of the blob comes (ranges are not served). `size` is that of the whole, where the registry says it.
   */
  blob(
    digest: Digest,
    options?: { offset?: number; end?: number; signal?: AbortSignal; urls?: string[] },
  ): Promise<{ body: ReadableStream<Uint8Array>; offset: number; end?: number; size: number | undefined }>;
  hasBlob(digest: Digest, options?: { signal?: AbortSignal }): Promise<boolean>;
  /** Uploads a blob in chunks, or mounts it from another repository of the same registry. */
  upload(options: {
    digest: Digest;
    size: number;
    open: (offset: number) => ReadableStream<Uint8Array>;
    /** Repositories to mount from, best first; `mounted` is told which one it was. */
    mountFrom?: string | readonly string[];
    mounted?: (from: string) => void;
    progress?: (done: number) => void;
    signal?: AbortSignal;
  }): Promise<"uploaded" | "mounted" | "exists">;
  putManifest(reference: string, bytes: Uint8Array, mediaType: string, options?: { signal?: AbortSignal }): Promise<Digest>;
  tags(options?: { signal?: AbortSignal }): Promise<string[]>;
  /** What refers to a manifest (signatures, attestations), by the referrers API or by the tag that stands in for it; none where the registry knows of none. */
  referrers(digest: Digest, options?: { signal?: AbortSignal }): Promise<Descriptor[]>;
}

/** Whose repository is asked for, and what for. */
export interface RepositoryOptions {
  credentials?: Credentials;
  push?: boolean;
  host?: RegistryHost;
  /** Told of the warnings that come with answers. */
  warned?: Warned;
}

/** An address that a registry's images may come from, and what is remembered of it. */
export interface MirrorStatus {
  host: RegistryHost;
  /** Where it is configured: `registry-mirrors`, `mirrors`, the path of a `hosts.toml`; empty for the registry itself. */
  source: string;
  /** Why it is left out, and until when (milliseconds since the epoch). */
  failure?: { reason: string; until: number };
}

/** Opens repositories: picks addresses, schemes, mirrors and tokens. Keeps tokens and connections between calls. */
export interface Distribution {
  /** Live: read it where a transfer begins. */
  readonly limits: Readonly<TransferLimits>;
  /** Takes another configuration from now on; what runs goes on as it is. */
  configure(options: DistributionOptions): void;
  /** Registries that have mirrors of their own in the configuration, docker.io first. */
  mirrored(): string[];
  /** The addresses for a registry as `repository` would ask them, those included that are left out for now. */
  addresses(registry: string): MirrorStatus[];
  /** As `repository` for a pull, those included that are left out for now. */
  everyAddress(reference: Reference, options: { credentials?: Credentials }): Repository[];
  /** An address that is only a candidate, as `mirrors` of the configuration would make it. */
  candidate(reference: Reference, url: string): Repository;
  /**
   * The addresses to try, in order: mirrors that did not fail lately, then the registry itself; or `host` alone where it is given (the built-in registry).
   * Throws `invalid` for a `hosts.toml` that cannot be understood.
   */
  repository(reference: Reference, options: RepositoryOptions): Repository[];
  /** Whether layers that have addresses of their own are pushed to a registry all the same: `allow-nondistributable-artifacts`. */
  takesForeign(registry: string): Promise<boolean>;
  /** Checks credentials against a registry (`docker login`): the status text, and an identity token where one is given. */
  login(registry: string, credentials: Credentials): Promise<{ status: string; identityToken: string }>;
  /** Looks for repositories: `host/term`, or a term for Docker Hub. Throws `unavailable` where the registry answers no searches. */
  search(text: string, options: { limit: number; credentials?: Credentials; signal?: AbortSignal }): Promise<FoundRepository[]>;
}

export interface DistributionOptions {
  insecureRegistries: string[];
  /** Registries that get layers which have addresses of their own: hosts, or networks. */
  nondistributable?: readonly string[];
  /** Mirrors of docker.io, from daemon.json. */
  registryMirrors: string[];
  /** Mirrors of any registry, by its host as in image names. */
  mirrors?: Readonly<Record<string, readonly string[]>>;
  /** Directories of `<registry>/hosts.toml`; the first that has a folder for the registry wins. */
  hostsDirectories?: readonly string[];
  /** Proxies; what is left out is taken from the environment. */
  proxies?: ProxySettings;
  limits?: Partial<TransferLimits>;
  /** Directories of `<host>/{ca.crt,client.cert,client.key}`, Docker's first. */
  certificateDirectories: string[];
  userAgent: string;
}
