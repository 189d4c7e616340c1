import { LighterError } from "../base/errors.ts";
import { DEFAULT_REGISTRY, parseReference, type Reference } from "../base/reference.ts";
import type { Credentials, Distribution, MirrorStatus, Repository } from "../distribution/distribution.ts";
import { measure, type Measurement } from "../distribution/measure.ts";
import { mirrorUrl } from "../distribution/mirror-url.ts";
import { editConfigFile } from "./config-file.ts";
import type { EngineConfig } from "./config.ts";
import { applyRegistryKey } from "./registry-keys.ts";

/** A mirror of a registry as it is used now. */
export interface MirrorEntry extends Omit<MirrorStatus, "host"> {
  registry: string;
  url: string;
}

/** A candidate and what it is worth; the registry itself is the one without `source`. */
export interface MeasuredMirror extends Measurement {
  url: string;
  source: string;
}

/** Mirrors of registries: `mirror add|ls|rm|test`. */
export interface Mirrors {
  /** Addresses in the order to ask them, of one registry or of all that have mirrors; the registry itself stands last, with an empty source. */
  list(registry?: string): MirrorEntry[];
  /** Writes a mirror into the configuration file, behind those that are there or before them, and uses it from now on. Throws `conflict` for one that is there. */
  add(registry: string, url: string, options: { first: boolean }): Promise<void>;
  /** Takes a mirror out of the configuration file. Throws `not-found`. */
  remove(registry: string, url: string): Promise<void>;
  /** Measures all addresses of a registry, and further ones: latencies first, then throughput one after the other. */
  test(
    registry: string,
    options: { urls: readonly string[]; image?: string; credentials?: Credentials; signal: AbortSignal },
  ): Promise<MeasuredMirror[]>;
}

/** What changing mirrors works with. */
export interface MirrorsContext {
  config: EngineConfig;
  distribution: Distribution;
  /** Makes a changed configuration hold. */
  apply: (next: Pick<EngineConfig, "mirrors" | "registryMirrors">) => void;
}

/** Where Docker Hub keeps an image that is there for everybody and large enough to measure with. */
const HUB_IMAGE = "busybox:latest";

/** Opens the mirrors of a daemon. */
export function openMirrors(context: MirrorsContext): Mirrors {
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = turn.then(work);
    turn = done.catch(() => undefined);
    return done;
  };
  return {
    list: (registry) =>
      (registry === undefined ? context.distribution.mirrored() : [registryOf(registry)]).flatMap((each) => entries(context, each)),
    add: (registry, url, { first }) => inTurn(() => add(context, registryOf(registry), mirrorUrl(url, { path: true }), first)),
    remove: (registry, url) => inTurn(() => remove(context, registryOf(registry), url.replace(/\/+$/, ""))),
    test: (registry, options) => test(context, registryOf(registry), options),
  };
}

function entries({ distribution }: MirrorsContext, registry: string): MirrorEntry[] {
  return distribution.addresses(registry).map(({ host, ...status }) => ({ registry, url: host.url, ...status }));
}

async function add(context: MirrorsContext, registry: string, url: string, first: boolean): Promise<void> {
  const { config } = context;
  const own = registry === DEFAULT_REGISTRY ? config.registryMirrors : [];
  const mapped = config.mirrors[registry] ?? [];
  if ([...own, ...mapped].some((each) => each.replace(/\/+$/, "") === url))
    throw new LighterError("conflict", `Cannot add mirror "${url}": ${registry} has it already`);
  const join = (list: readonly string[]): string[] => (first ? [url, ...list] : [...list, url]);
  // Docker's own key takes what Docker takes; a path goes where every registry's mirrors are.
  if (registry === DEFAULT_REGISTRY && isPlain(url)) return change(context, { registryMirrors: join(own), mirrors: config.mirrors });
  await change(context, { registryMirrors: config.registryMirrors, mirrors: { ...config.mirrors, [registry]: join(mapped) } });
}

async function remove(context: MirrorsContext, registry: string, url: string): Promise<void> {
  const { config } = context;
  const without = (list: readonly string[]): string[] => list.filter((each) => each.replace(/\/+$/, "") !== url);
  const registryMirrors = registry === DEFAULT_REGISTRY ? without(config.registryMirrors) : config.registryMirrors;
  const { [registry]: mapped = [], ...others } = config.mirrors;
  const left = without(mapped);
  if (registryMirrors.length === config.registryMirrors.length && left.length === mapped.length) throw missing(context, registry, url);
  await change(context, { registryMirrors, mirrors: left.length === 0 ? others : { ...others, [registry]: left } });
}

function missing({ distribution }: MirrorsContext, registry: string, url: string): LighterError {
  const listed = distribution.addresses(registry).find(({ host, source }) => host.url === url && source !== "");
  return listed === undefined
    ? new LighterError("not-found", `No such mirror of ${registry}: ${url}`)
    : new LighterError("conflict", `Cannot remove mirror "${url}": it stands in ${listed.source}, which is not written from here`);
}

/** The file first, then the daemon; what the file cannot hold changes nothing. */
async function change(
  { config, apply }: MirrorsContext,
  next: { mirrors: Record<string, string[]>; registryMirrors: string[] },
): Promise<void> {
  if (config.configFile === undefined) throw new LighterError("unavailable", "Cannot change mirrors: the daemon has no configuration file");
  if (config.fixedMirrors && next.registryMirrors !== config.registryMirrors)
    throw new LighterError("conflict", "Cannot change the mirrors of docker.io: the daemon was started with --registry-mirror");
  applyRegistryKey({}, "registry-mirrors", next.registryMirrors);
  applyRegistryKey({}, "mirrors", next.mirrors);
  await editConfigFile(config.configFile, (json) => {
    if (next.registryMirrors !== config.registryMirrors) json["registry-mirrors"] = next.registryMirrors;
    if (Object.keys(next.mirrors).length > 0) json["mirrors"] = next.mirrors;
    else delete json["mirrors"];
  });
  apply(next);
}

function isPlain(url: string): boolean {
  return new URL(url).pathname === "/";
}

async function test(
  { distribution }: MirrorsContext,
  registry: string,
  { urls, image, credentials, signal }: Parameters<Mirrors["test"]>[1],
): Promise<MeasuredMirror[]> {
  const asked = image ?? (registry === DEFAULT_REGISTRY ? HUB_IMAGE : undefined);
  const reference = referenceOf(registry, asked);
  const sources = new Map(distribution.addresses(registry).map(({ host, source }) => [host.url, source]));
  const repositories = distribution.everyAddress(reference, credentials === undefined ? {} : { credentials });
  const known: { repository: Repository; url: string; source: string }[] = repositories.map((repository) => {
    const url = repository.host.url;
    return { repository, url, source: sources.get(url) ?? "" };
  });
  for (const url of urls.map((each) => mirrorUrl(each, { path: true }))) {
    if (known.some((each) => each.url === url)) continue;
    known.splice(-1, 0, { repository: distribution.candidate(reference, url), url, source: "candidate" });
  }
  // Who is dead is found out at once; those that transfer do so alone, or they would measure each other.
  const reached = await Promise.all(known.map(({ repository }) => measure(repository, { image: undefined, signal })));
  const measured: MeasuredMirror[] = [];
  for (const [index, { repository, url, source }] of known.entries()) {
    const latency = reached[index] ?? {};
    const whole = asked === undefined || latency.failure !== undefined ? latency : await measure(repository, { image: asked, signal });
    measured.push({ url, source, ...latency, ...whole });
  }
  return measured;
}

/** What is measured with lies in the registry that is asked about, whatever its name says. */
function referenceOf(registry: string, image: string | undefined): Reference {
  if (image === undefined) return { registry, repository: "library/none" };
  const reference = parseReference(image);
  if (reference.registry === registry) return reference;
  if (reference.registry !== DEFAULT_REGISTRY)
    throw new LighterError("invalid", `Cannot measure mirrors of ${registry} with "${image}": it is an image of ${reference.registry}`);
  return {
    ...reference,
    registry,
    repository: image.includes("/") ? reference.repository : reference.repository.replace(/^library\//, ""),
  };
}

/** A registry as image names have it. Throws `invalid`. */
function registryOf(text: string): string {
  const host = text.replace(/^https?:\/\//, "").replace(/\/+$/, "");
  if (host === "" || host === "index.docker.io" || host === "registry-1.docker.io") return DEFAULT_REGISTRY;
  if (/[/\s]/.test(host) || URL.parse(`https://${host}`) === null) throw new LighterError("invalid", `"${text}" is no registry`);
  return host;
}
