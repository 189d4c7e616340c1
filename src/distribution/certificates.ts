import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

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
 * @param host host and port as in the image name
 */
export async function readCertificates(directories: readonly string[], host: string): Promise<RegistryTls | undefined> {
  for (const directory of directories) {
    const folder = join(directory, host);
    const names = await readdir(folder).catch(() => undefined);
    if (names !== undefined) return await readFolder(folder, names.toSorted());
  }
  return undefined;
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
