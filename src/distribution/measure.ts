import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { formatReference, parseReference } from "../base/reference.ts";
import type { Descriptor, Digest } from "../oci/image.ts";
import { hostPlatform, manifestsFor } from "../oci/platform.ts";
import { isIndex } from "../oci/image.ts";
import type { Repository } from "./distribution.ts";
import { pause } from "./retry.ts";

/** What an address of a registry turned out to be worth. */
export interface Measurement {
  /** Milliseconds of one request on a connection that stands: the middle one of three. */
  latency?: number;
  /** Bytes a second while a layer came. */
  throughput?: number;
  /** How many bytes that was measured with. */
  bytes?: number;
  /** What the tag points at here. */
  digest?: Digest;
  /** Why it is of no use. */
  failure?: string;
}

/** What is fetched to measure with. */
export interface MeasureOptions {
  /** The image, without its registry's mirrors: `busybox`, `ghcr.io/owner/name:tag`. Undefined: latency alone. */
  image: string | undefined;
  signal: AbortSignal;
}

const PROBES = 3;
/** Milliseconds for the first answer, and for the transfer. */
const PATIENCE = 5_000;
const TRANSFER_TIME = 4_000;
const MOST_BYTES = 64 << 20;

/** Measures one address; never rejects but with `cancelled`. */
export async function measure(repository: Repository, { image, signal }: MeasureOptions): Promise<Measurement> {
  const measurement: Measurement = {};
  try {
    await repository.ping({ signal, timeout: PATIENCE });
    measurement.latency = await latencyOf(repository, signal);
    if (image !== undefined) Object.assign(measurement, await throughputOf(repository, image, signal));
  } catch (error) {
    if (signal.aborted || kindOf(error) === "cancelled") throw new LighterError("cancelled", "context canceled", { cause: error });
    measurement.failure = messageOf(error);
  }
  return measurement;
}

/** Whatever the answer is: it is the way there and back that counts. */
async function latencyOf(repository: Repository, signal: AbortSignal): Promise<number> {
  const times: number[] = [];
  for (let probe = 0; probe < PROBES; probe++) {
    const begin = performance.now();
    await repository.knock({ signal });
    times.push(performance.now() - begin);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(PROBES / 2)] ?? 0;
}

async function throughputOf(repository: Repository, image: string, signal: AbortSignal): Promise<Measurement> {
  const { digest: fixed, tag = "latest", ...rest } = parseReference(image);
  const options = { signal, retry: false };
  const named = await repository.manifest(fixed ?? tag, options);
  const manifest = isIndex(named.descriptor.mediaType) ? await ofThisPlatform(repository, named.bytes, options) : named;
  const { layers = [] } = JSON.parse(new TextDecoder().decode(manifest.bytes)) as { layers?: Descriptor[] };
  const largest = layers.filter((layer) => !layer.urls?.length).toSorted((a, b) => b.size - a.size)[0];
  const digest = named.descriptor.digest;
  if (largest === undefined) throw new LighterError("invalid", `${formatReference({ ...rest, tag })} has no layer to measure with`);
  return { digest, ...(await transfer(repository, largest, signal)) };
}

async function ofThisPlatform(
  repository: Repository,
  bytes: Uint8Array,
  options: { signal: AbortSignal; retry: boolean },
): ReturnType<Repository["manifest"]> {
  const { manifests = [] } = JSON.parse(new TextDecoder().decode(bytes)) as { manifests?: Descriptor[] };
  const entry = manifestsFor(manifests, hostPlatform())[0] ?? manifests[0];
  if (entry === undefined) throw new LighterError("invalid", "its index is empty");
  return repository.manifest(entry.digest, options);
}

/** Reads a layer to its end, or as far as it comes in the time; a whole one is checked. */
async function transfer(repository: Repository, layer: Descriptor, signal: AbortSignal): Promise<Measurement> {
  const begin = performance.now();
  const { body } = await repository.blob(layer.digest, { signal });
  const reader = body.getReader();
  const over = new AbortController();
  const late = pause(TRANSFER_TIME, AbortSignal.any([signal, over.signal])).then(() => undefined);
  late.catch(() => undefined);
  const hasher = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  try {
    while (bytes < MOST_BYTES) {
      const read = await Promise.race([reader.read(), late]);
      if (read === undefined || read.done) break;
      bytes += read.value.length;
      hasher.update(read.value);
    }
  } finally {
    over.abort();
    reader.cancel().catch(() => undefined);
  }
  const seconds = (performance.now() - begin) / 1000;
  if (bytes === 0) throw new LighterError("unavailable", `no byte of a layer came in ${TRANSFER_TIME / 1000} seconds`);
  if (bytes >= layer.size && `sha256:${hasher.digest("hex")}` !== layer.digest)
    throw new LighterError("invalid", `it sends other content than ${layer.digest}`);
  return { bytes, throughput: bytes / seconds };
}
