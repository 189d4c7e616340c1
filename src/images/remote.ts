import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { parseReference } from "../base/reference.ts";
import type { Credentials, Repository } from "../distribution/distribution.ts";
import { digestOf } from "../oci/digest.ts";
import { isIndex, type Digest, type Platform } from "../oci/image.ts";
import type { DistributionInspect } from "../wire/engine-api.ts";
import { parseIndex, parseJson, parseManifest } from "./documents.ts";
import type { Sources } from "./sources.ts";

/** Larger configurations are not read only to learn of a platform. */
const MOST_CONFIG = 8 << 20;

/** What a registry has under a name: the descriptor of it, and the platforms that it is made for. Nothing is stored. */
export async function inspectRemote(
  sources: Sources,
  text: string,
  options: { credentials?: Credentials; signal?: AbortSignal },
): Promise<DistributionInspect> {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(text)) throw new LighterError("invalid", `unknown image reference format: ${text}`);
  const reference = parseReference(text);
  try {
    const source = await sources.open({ reference, ...options });
    const { target } = source;
    const [repository] = source.repositories;
    const fetched = source.fetched ?? (await repository?.manifest(target.digest, signalOf(options)));
    if (repository === undefined || fetched === undefined) throw new LighterError("internal", "no address to ask");
    const { mediaType, digest, size } = fetched.descriptor;
    return {
      Descriptor: { mediaType, digest, size },
      Platforms: (await platformsOf(repository, fetched.bytes, target, options.signal)).map((platform) => ({ ...platform })),
    };
  } catch (error) {
    throw plainly(error);
  }
}

async function platformsOf(
  repository: Repository,
  bytes: Uint8Array,
  target: { mediaType: string; digest: Digest },
  signal: AbortSignal | undefined,
): Promise<Platform[]> {
  const document = parseJson(bytes, target.digest);
  if (isIndex(target.mediaType)) return parseIndex(document, target.digest).manifests.map(({ platform }) => named(platform));
  const config = await readConfig(repository, parseManifest(document, target.digest).config.digest, signal);
  return config === undefined ? [] : [config];
}

/** The platform that a configuration names; undefined where it cannot be had or names none: that is no refusal. */
async function readConfig(repository: Repository, digest: Digest, signal: AbortSignal | undefined): Promise<Platform | undefined> {
  try {
    const { body } = await repository.blob(digest, signalOf({ signal }));
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of body) {
      length += piece.length;
      if (length > MOST_CONFIG) return undefined;
      pieces.push(piece);
    }
    const bytes = Buffer.concat(pieces);
    if (digestOf(bytes) !== digest) return undefined;
    const platform = named(parseJson(bytes, digest) as Partial<Platform>);
    return platform.os === "" && platform.architecture === "" ? undefined : platform;
  } catch (error) {
    if (kindOf(error) === "cancelled") throw error;
    return undefined;
  }
}

function named(platform: Partial<Platform> | undefined): Platform {
  const { architecture = "", os = "", variant } = platform ?? {};
  const version = platform?.["os.version"];
  const features = platform?.["os.features"];
  return {
    architecture,
    os,
    ...(version ? { "os.version": version } : {}),
    ...(features?.length ? { "os.features": features } : {}),
    ...(variant ? { variant } : {}),
  };
}

/** The registry's own sentence and status, without what a pull says around it. */
function plainly(error: unknown): unknown {
  const [, own] =
    /^(?:manifest for \S+ not found|repository \S+ not found|pull access denied for .* 'docker login'): (.*)$/s.exec(messageOf(error)) ??
    [];
  if (own === undefined || kindOf(error) !== "not-found") return error;
  return new LighterError(own.startsWith("denied:") ? "forbidden" : "not-found", own, { cause: error });
}

function signalOf({ signal }: { signal?: AbortSignal | undefined }): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
