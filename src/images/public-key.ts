import { constants, createHash, createPublicKey, verify, type KeyObject } from "node:crypto";
import { LighterError } from "../base/errors.ts";

/** A key that signatures are checked with. */
export interface VerificationKey {
  /** Where it was read from, for messages. */
  name: string;
  key: KeyObject;
}

/** Reads a public key from PEM: ECDSA on P-256, P-384 or P-521, ed25519, or RSA from 2048 bits on. Throws `invalid`. */
export function parsePublicKey(pem: string, name: string): VerificationKey {
  if (pem.includes("PRIVATE KEY"))
    throw new LighterError("invalid", `Cannot use the key "${name}": it is a private key, signatures are checked with the public one`);
  let key: KeyObject;
  try {
    key = createPublicKey({ key: pem, format: "pem" });
  } catch (cause) {
    throw new LighterError("invalid", `Cannot use the key "${name}": it is not a public key in PEM`, { cause });
  }
  const kind = key.asymmetricKeyType;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (kind === "ec" || kind === "ed25519" || (kind === "rsa" && bits >= 2048)) return { name, key };
  const what = kind === "rsa" ? `RSA with ${bits} bits` : String(kind);
  throw new LighterError("invalid", `Cannot use the key "${name}": it is ${what}; use ECDSA, ed25519 or RSA with at least 2048 bits`);
}

/**
 * Whether a signature of these bytes is the key's: ECDSA and RSA (PKCS #1 v1.5) over SHA-256, ed25519 over the bytes themselves.
 * https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
 */
export function isSignedBy({ key }: VerificationKey, data: Uint8Array, signature: Uint8Array): boolean {
  try {
    if (key.asymmetricKeyType === "ed25519") return verify(null, data, key, signature);
    if (key.asymmetricKeyType === "ec") return verify("sha256", data, { key, dsaEncoding: "der" }, signature);
    return verify("sha256", data, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
  } catch {
    // What cannot even be read as a signature is none.
    return false;
  }
}

/** The first digits of the SHA-256 of the key's DER form, by which people tell keys apart. */
export function fingerprint({ key }: VerificationKey): string {
  return `sha256:${createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("hex")
    .slice(0, 12)}`;
}
