import { generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { logOf } from "../base/log.ts";
import { bits, der, integer, objectId, sequence, time, utf8, type Der } from "./der.ts";
import { parseHostPort } from "./listen.ts";

const YEARS = 10;
/** A certificate that ends within so many milliseconds is made anew. */
const RENEW_MS = 30 * 24 * 3600 * 1000;

/** Names of what stands in a certificate (RFC 5280, RFC 5480). */
const OID = {
  commonName: "2.5.4.3",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  subjectAltName: "2.5.29.17",
};

/**
 * The registry's own certificate and key as PEM, kept as `tls/registry.crt` and `tls/registry.key` below `folder`; made at the first start, and anew when
 * it ends soon or does not name what the registry is reached by. Clients trust it once it is theirs as `certs.d/HOST:PORT/ca.crt`.
 */
export async function certificateFor(folder: string, addresses: readonly string[]): Promise<{ cert: string; key: string }> {
  const names = namesOf(addresses);
  const paths = { cert: join(folder, "tls/registry.crt"), key: join(folder, "tls/registry.key") };
  const kept = await readPair(paths);
  if (kept !== undefined && fits(kept.cert, names)) return kept;
  const made = makeCertificate(names, new Date());
  await mkdir(join(folder, "tls"), { recursive: true, mode: 0o700 });
  await writeFile(`${paths.key}.new`, made.key, { mode: 0o600 });
  await writeFile(`${paths.cert}.new`, made.cert, { mode: 0o644 });
  await rename(`${paths.key}.new`, paths.key);
  await rename(`${paths.cert}.new`, paths.cert);
  logOf("registry").info("made a certificate of its own: clients need {cert} as certs.d/HOST:PORT/ca.crt", { cert: paths.cert });
  return made;
}

/** A certificate that signs itself, for a server with these names and addresses. */
export function makeCertificate(names: readonly string[], now: Date): { cert: string; key: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const end = new Date(now);
  end.setUTCFullYear(end.getUTCFullYear() + YEARS);
  const name = sequence(der(0x31, sequence(objectId(OID.commonName), utf8("Lighter registry"))));
  const algorithm = sequence(objectId(OID.ecdsaWithSha256));
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(randomBytes(16)),
    algorithm,
    name,
    sequence(time(new Date(now.getTime() - 3_600_000)), time(end)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions(names))),
  );
  const signed = sequence(body, algorithm, bits(sign("sha256", body, privateKey)));
  return { cert: pem("CERTIFICATE", signed), key: privateKey.export({ type: "pkcs8", format: "pem" }) as string };
}

function extensions(names: readonly string[]): Der[] {
  const extension = (id: string, isCritical: boolean, value: Der): Der =>
    sequence(objectId(id), ...(isCritical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value));
  const alternatives = names.map((name) => (isIP(name) === 0 ? der(0x82, Buffer.from(name)) : der(0x87, addressBytes(name))));
  return [
    extension(OID.basicConstraints, true, sequence(der(0x01, Buffer.from([0xff])))),
    // Bits 0 (digital signature) and 5 (it signs itself).
    extension(OID.keyUsage, true, bits(Buffer.from([0x84]), 2)),
    extension(OID.extendedKeyUsage, false, sequence(objectId(OID.serverAuth))),
    extension(OID.subjectAltName, false, sequence(...alternatives)),
  ];
}

/** What clients may call this registry: where it listens, and all addresses of this machine where it listens on any. */
function namesOf(addresses: readonly string[]): string[] {
  const hosts = addresses.map((address) => parseHostPort(address).hostname);
  const isAnywhere = hosts.some((host) => host === "0.0.0.0" || host === "::");
  const all = isAnywhere
    ? Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address.replace(/%.*/, "")))
    : [];
  return [
    ...new Set(["localhost", "127.0.0.1", "::1", hostname(), ...hosts.filter((host) => host !== "0.0.0.0" && host !== "::"), ...all]),
  ];
}

function fits(cert: string, names: readonly string[]): boolean {
  const certificate = new X509Certificate(cert);
  if (Date.parse(certificate.validTo) < Date.now() + RENEW_MS) return false;
  return names.every((name) => (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined);
}

async function readPair(paths: { cert: string; key: string }): Promise<{ cert: string; key: string } | undefined> {
  try {
    return { cert: await readFile(paths.cert, "utf8"), key: await readFile(paths.key, "utf8") };
  } catch {
    return undefined;
  }
}

/** The 4 or 16 bytes of an address. */
function addressBytes(text: string): Uint8Array {
  if (isIP(text) === 4) return Buffer.from(text.split(".").map(Number));
  const dotted = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => `${hex16(a, b)}:${hex16(c, d)}`);
  const [head = "", tail] = dotted.split("::");
  const words = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const gap = tail === undefined ? [] : new Array<string>(8 - words(head).length - words(tail).length).fill("0");
  const all = tail === undefined ? words(head) : [...words(head), ...gap, ...words(tail)];
  return Buffer.from(all.map((word) => word.padStart(4, "0")).join(""), "hex");
}

function hex16(high: string, low: string): string {
  return (Number(high) * 256 + Number(low)).toString(16);
}

function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
