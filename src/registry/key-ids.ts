import { createHash, type KeyObject } from "node:crypto";

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/**
 * The names that a token's header may give a public key: docker's (240 bits of the SHA-256 of its DER form in base32, by fours) and
 * the JWK thumbprint (RFC 7638). https://distribution.github.io/distribution/spec/auth/jwt/
 */
export function keyIds(key: KeyObject): string[] {
  const der = createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest();
  const fours = base32(der.subarray(0, 30)).match(/.{4}/g) ?? [];
  return [fours.join(":"), thumbprint(key)];
}

function thumbprint(key: KeyObject): string {
  const { crv, e, kty, n, x, y } = key.export({ format: "jwk" });
  // Keys in order, those that the type has.
  return createHash("sha256").update(JSON.stringify({ crv, e, kty, n, x, y })).digest("base64url");
}

function base32(bytes: Uint8Array): string {
  let bits = "";
  for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
  return (bits.match(/.{5}/g) ?? []).map((five) => BASE32[Number.parseInt(five, 2)]).join("");
}
