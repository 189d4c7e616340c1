import { LighterError } from "../base/errors.ts";
import type { Digest } from "./image.ts";

/** The SHA-256 digest of bytes or of UTF-8 text. */
export function digestOf(data: string | Uint8Array): Digest {
  return `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;
}

/** Checks the form `sha256:<64 hex digits>`; throws `invalid` otherwise. */
export function parseDigest(text: string): Digest {
  if (!/^sha256:[0-9a-f]{64}$/.test(text))
    throw new LighterError("invalid", `invalid digest "${text}": expected sha256 and 64 lower-case hex digits`);
  return text as Digest;
}

/** The 64 hex digits of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/**
 * Chain ids of a stack of layers, bottom first: the name of an unpacked layer together with all below it.
 * https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}
