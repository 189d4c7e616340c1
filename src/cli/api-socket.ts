import { posix } from "node:path";
import { putArchive, type CreateBody } from "../client/containers.ts";
import type { App } from "./app.ts";
import { credentialsFor } from "./credentials.ts";

/** Where programs look for the daemon, and where the user's logins are put, as with docker. */
const SOCKET = "/var/run/docker.sock";
const CONFIG = "/run/secrets/docker/config.json";
/** Of a daemon that is reached over the network its own host knows the place. */
const DAEMON_SOCKET = "/run/lighter/lighter.sock";

/**
 * `--use-api-socket`: mounts the daemon's socket into the container that a request asks for, and shows it where the user's logins are.
 * @returns what is to be done once the container is made: it puts the logins there
 */
export async function useApiSocket(app: App, body: CreateBody): Promise<(id: string) => Promise<void>> {
  const connection = await app.connection();
  const Source = connection.endpoint.kind === "unix" ? connection.endpoint.path : DAEMON_SOCKET;
  const host = (body.HostConfig ??= {});
  host.Mounts = [...(host.Mounts ?? []), { Type: "bind", Source, Target: SOCKET, BindOptions: {} }];
  const own = (body.Env ?? []).some((variable) => variable.startsWith("DOCKER_CONFIG="));
  const auths = own ? {} : await allLogins(app);
  if (Object.keys(auths).length === 0) return () => Promise.resolve();
  body.Env = [...(body.Env ?? []), `DOCKER_CONFIG=${posix.dirname(CONFIG)}`];
  return async (id) => {
    const tar = oneFileTar(CONFIG.slice(1), `${JSON.stringify({ auths }, undefined, 2)}\n`);
    await putArchive(connection, id, "/", new Blob([tar]).stream());
  };
}

/** Every login that the user has, in the form of docker's configuration file, helpers asked. */
async function allLogins(app: App): Promise<Record<string, { auth?: string; identitytoken?: string }>> {
  const { auths, credHelpers } = app.config;
  const logins: Record<string, { auth?: string; identitytoken?: string }> = {};
  for (const registry of new Set([...Object.keys(auths ?? {}), ...Object.keys(credHelpers ?? {})])) {
    const found = await credentialsFor(app, registry);
    if (found === undefined) continue;
    const { username = "", password = "", identitytoken } = found;
    logins[registry] =
      identitytoken === undefined ? { auth: Buffer.from(`${username}:${password}`).toString("base64") } : { identitytoken };
  }
  return logins;
}

const BLOCK = 512;

/** A ustar archive with the directories of a file and the file, which its owner alone may read. */
export function oneFileTar(path: string, text: string): Uint8Array {
  const content = Buffer.from(text);
  const parents = path.split("/").slice(0, -1);
  const headers = parents.map((_, index) => tarHeader(`${parents.slice(0, index + 1).join("/")}/`, "5", 0o755, 0));
  const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
  return Buffer.concat([...headers, tarHeader(path, "0", 0o600, content.length), content, padding, Buffer.alloc(2 * BLOCK)]);
}

/** https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html "ustar Interchange Format" */
function tarHeader(name: string, type: "0" | "5", mode: number, size: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): number => header.write(value.toString(8).padStart(length - 1, "0"), at);
  header.write(name, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(Math.floor(Date.now() / 1000), 136, 12);
  header.write(" ".repeat(8), 148);
  header.write(type, 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}
