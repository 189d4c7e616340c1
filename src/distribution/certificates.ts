import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import type { HostTls } from "./distribution.ts";

/** What TLS to one registry uses beside the system's store. */
export interface RegistryTls {
  ca?: string[];
  cert?: string;
  key?: string;
  rejectUnauthorized?: boolean;
}

/**
 * Reads `<directory>/<host>/` as Docker lays it out: every `*.crt` is a root to trust, `<name>.cert` with `<name>.key` is the client's pair.
 * https://docs.docker.com/engine/security/certificates/
 * @param directories the first that has a folder for the host wins
 * @param address URL of the registry, or host and port as in the image name
 */
export async function readCertificates(directories: readonly string[], address: string): Promise<RegistryTls | undefined> {
  const host = address.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  // A port that the scheme means is left out by some, and written by others.
  const hosts = [host, host.endsWith(":443") ? host.slice(0, -4) : undefined].filter((each) => each !== undefined);
  for (const directory of directories) {
    for (const name of hosts) {
      const folder = join(directory, name);
      const names = await readdir(folder).catch(() => undefined);
      if (names !== undefined) return await readFolder(folder, names.toSorted());
    }
  }
  return undefined;
}

/** Reads the files that a `hosts.toml` names. Throws `invalid` for one that cannot be read. */
export async function readTlsFiles({ ca, client, skipVerify }: HostTls): Promise<RegistryTls> {
  const tls: RegistryTls = {};
  for (const path of ca) (tls.ca ??= []).push(await readNamed(path));
  for (const { cert, key } of client) {
    tls.cert = await readNamed(cert);
    tls.key = await readNamed(key);
  }
  if (skipVerify) tls.rejectUnauthorized = false;
  if (tls.ca !== undefined) tls.ca.push(...(await systemRoots()));
  return tls;
}

async function readNamed(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new LighterError("invalid", `Cannot read the certificate "${path}": ${messageOf(cause)}`, { cause });
  }
}

async function readFolder(folder: string, names: string[]): Promise<RegistryTls> {
  const tls: RegistryTls = {};
  for (const name of names) {
    if (name.endsWith(".crt")) (tls.ca ??= []).push(await readFile(join(folder, name), "utf8"));
    if (!name.endsWith(".cert")) continue;
    const key = name.replace(/\.cert$/, ".key");
    if (!names.includes(key)) continue;
    tls.cert = await readFile(join(folder, name), "utf8");
    tls.key = await readFile(join(folder, key), "utf8");
  }
  if (tls.ca !== undefined) tls.ca.push(...(await systemRoots()));
  return tls;
}

/** A `ca` option replaces the system's roots, Docker adds to them. */
async function systemRoots(): Promise<string[]> {
  const bundle = await readFile("/etc/ssl/certs/ca-certificates.crt", "utf8").catch(() => "");
  return bundle === "" ? [] : [bundle];
}
