import type { Connection } from "./connection.ts";

/** An address of a registry; the registry itself is the one without a source. */
export interface Mirror {
  Registry: string;
  URL: string;
  /** `registry-mirrors`, `mirrors`, the path of a `hosts.toml`, or empty. */
  Source: string;
  /** Why it is left out, and until when (RFC 3339). */
  Failure?: string;
  Until?: string;
}

/** What an address was measured to be worth. */
export interface MeasuredMirror {
  URL: string;
  Source: string;
  LatencyMs?: number;
  BytesPerSecond?: number;
  Bytes?: number;
  Digest?: string;
  Failure?: string;
}

/** The mirrors of a registry, or of all that have some, in the order to ask them. */
export function listMirrors(connection: Connection, registry?: string): Promise<Mirror[]> {
  return connection.json("GET", "/lighter/mirrors", { query: { registry } });
}

/** Writes a mirror into the daemon's configuration file. */
export async function addMirror(connection: Connection, mirror: { Registry: string; URL: string; First: boolean }): Promise<void> {
  await connection.send("POST", "/lighter/mirrors", { json: mirror });
}

/** Takes a mirror out of the daemon's configuration file. */
export async function removeMirror(connection: Connection, registry: string, url: string): Promise<void> {
  await connection.send("DELETE", "/lighter/mirrors", { query: { registry, url } });
}

/** Measures the addresses of a registry, and further ones. */
export function testMirrors(
  connection: Connection,
  what: { Registry: string; URLs: string[]; Image?: string },
  auth?: string,
): Promise<MeasuredMirror[]> {
  return connection.json("POST", "/lighter/mirrors/test", { json: what, ...(auth && { headers: { "X-Registry-Auth": auth } }) });
}
