import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { formatReference, type Reference } from "../base/reference.ts";
import type { Credentials, FetchedManifest, Repository } from "../distribution/distribution.ts";
import { isNetworkFailure } from "../distribution/network-failure.ts";
import { openDistribution } from "../distribution/open.ts";
import { digestOf } from "../oci/digest.ts";
import { isIndex, type Descriptor, type Digest, type Index, type Manifest, type Platform } from "../oci/image.ts";
import type { App } from "./app.ts";
import { credentialsFor } from "./credentials.ts";
import { listed, type ListedManifest } from "./manifest-store.ts";

/** Where certificates for registries are looked for, as the daemon does. */
const CERTIFICATES = ["/etc/docker/certs.d", "/etc/lighter/certs.d"];

/**
 * The registry of a name, asked by this program itself as docker's client does: no daemon takes part (docs/decisions/0020).
 * @param insecure HTTP and unknown certificates will do
 */
export async function repositoryOf(app: App, reference: Reference, { insecure = false, push = false } = {}): Promise<Repository> {
  const login = await credentialsFor(app, reference.registry);
  const distribution = openDistribution({
    insecureRegistries: insecure ? [reference.registry] : [],
    registryMirrors: [],
    certificateDirectories: CERTIFICATES,
    userAgent: "Lighter-Client (linux)",
  });
  const credentials: Credentials | undefined = login && {
    ...(login.username !== undefined && { username: login.username }),
    ...(login.password !== undefined && { password: login.password }),
    ...(login.identitytoken !== undefined && { identityToken: login.identitytoken }),
    ...(login.registrytoken !== undefined && { registryToken: login.registrytoken }),
  };
  const told = new Set<string>();
  const warned = (text: string): void => {
    if (!told.has(text)) app.err(`WARNING: ${text}\n`);
    told.add(text);
  };
  const addresses = distribution.repository(reference, { push, warned, ...(credentials && { credentials }) });
  const own = addresses.at(-1);
  if (own === undefined) throw new LighterError("internal", "no address to ask");
  return own;
}

/** What a registry has under a name: a manifest or a list. Throws `not-found` with docker's sentence. */
export async function fetchManifest(repository: Repository, reference: Reference): Promise<FetchedManifest> {
  try {
    return await repository.manifest(reference.digest ?? reference.tag ?? "latest");
  } catch (cause) {
    if (kindOf(cause) === "not-found" || kindOf(cause) === "unauthorized")
      throw new LighterError("not-found", `no such manifest: ${formatReference(reference)}`, { cause });
    if (!isNetworkFailure(cause)) throw cause;
    throw new LighterError("unavailable", `failed to configure transport: error pinging v2 registry: ${messageOf(cause)}`, { cause });
  }
}

/** An image's manifest with the platform that its configuration names. Throws `invalid` for a list. */
export async function fetchImage(repository: Repository, reference: Reference): Promise<ListedManifest> {
  const fetched = await fetchManifest(repository, reference);
  if (isIndex(fetched.descriptor.mediaType)) throw new LighterError("invalid", `${formatReference(reference)} is a manifest list`);
  return imageOf(repository, reference, fetched);
}

/** The images of a list, each with the platform that the list names. */
export async function fetchImages(repository: Repository, reference: Reference, list: FetchedManifest): Promise<ListedManifest[]> {
  const images: ListedManifest[] = [];
  for (const entry of indexOf(list).manifests) {
    const named: Reference = { ...reference, digest: entry.digest };
    const fetched = await fetchManifest(repository, named);
    if (isIndex(fetched.descriptor.mediaType)) throw new LighterError("invalid", `unsupported manifest type: ${entry.digest} is a list`);
    images.push(listed(named, { ...fetched.descriptor, platform: platformIn(entry.platform) }, fetched.bytes));
  }
  return images;
}

/** The entries of a list as they are. */
export function indexOf(list: FetchedManifest): Index {
  return JSON.parse(new TextDecoder().decode(list.bytes)) as Index;
}

/** A platform with its fields in Go's order, the empty ones that may be left out left out. */
export function platformIn(platform: Partial<Platform> | undefined): Platform {
  const { architecture = "", os = "", variant } = platform ?? {};
  const version = platform?.["os.version"];
  const features = platform?.["os.features"];
  return {
    architecture,
    os,
    ...(version && { "os.version": version }),
    ...(features?.length && { "os.features": features }),
    ...(variant && { variant }),
  };
}

async function imageOf(repository: Repository, reference: Reference, fetched: FetchedManifest): Promise<ListedManifest> {
  const { config } = JSON.parse(new TextDecoder().decode(fetched.bytes)) as Manifest;
  const platform = platformIn(await readConfig(repository, config));
  const { mediaType, digest, size } = fetched.descriptor;
  return listed(reference, { mediaType, digest, size, platform }, fetched.bytes);
}

async function readConfig(repository: Repository, { digest }: Descriptor): Promise<Partial<Platform>> {
  const { body } = await repository.blob(digest);
  const bytes = new Uint8Array(await new Response(body).arrayBuffer());
  if (digestOf(bytes) !== (digest satisfies Digest))
    throw new LighterError("invalid", `image config verification failed for digest ${digest}`);
  return JSON.parse(new TextDecoder().decode(bytes)) as Partial<Platform>;
}
