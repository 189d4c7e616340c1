import { readFile } from "node:fs/promises";
import { LighterError } from "../base/errors.ts";
import { EVERYBODY } from "./access.ts";
import { logAccess } from "./access-log.ts";
import type { RegistryConfig } from "./config.ts";
import type { RegistryListener, Serve, TlsMaterial } from "./listen.ts";
import { NetDoor } from "./net-door.ts";
import { openAccess } from "./open-access.ts";
import { RateLimit } from "./rate-limit.ts";
import { handle, type RegistryContext, type Told } from "./routes.ts";
import { watchCertificate } from "./watched-certificate.ts";

/** What the registry's doors to the network stand on. */
export interface FrontOptions {
  context: RegistryContext;
  config: RegistryConfig;
  /** Where keys and certificates that are made here are kept. */
  folder: string;
  /** Repositories that nobody changes from the network. */
  reserved: ReadonlySet<string>;
  /** An address that something else has does not matter for the rest: it is opened as soon as it is free. */
  patient?: boolean;
  /** How often certificates are looked at, in milliseconds, in place of the usual. */
  lookEvery?: number;
  /** Told of every answer. */
  done?: ((told: Told) => void) | undefined;
}

/** Opens every address of the configuration; when one cannot be opened, none stays open. Certificates from files are those of the files as they are. */
export async function openFront({ context, config, folder, reserved, done, ...options }: FrontOptions): Promise<RegistryListener[]> {
  const access = await openAccess(config.auth, folder);
  const limit = config.rateLimit && new RateLimit(config.rateLimit);
  const tls = await tlsOf(config, folder);
  const serve: Serve = async (request, address) => {
    const refused = limit?.take(address ?? "");
    if (refused !== undefined) return refused;
    const url = new URL(request.url);
    if (access?.token !== undefined && url.pathname === "/token") {
      const started = performance.now();
      const response = await access.token(request);
      logAccess({ route: "token", call: { request, url, repository: "", target: "", visitor: EVERYBODY }, response, started }, address);
      return response;
    }
    const { readOnly, noDelete } = config;
    return await handle(context, request, {
      access,
      readOnly,
      noDelete,
      reserved,
      address,
      done: (told) => {
        logAccess(told, address);
        done?.(told);
      },
    });
  };
  const doors: NetDoor[] = [];
  const patient = options.patient === true;
  try {
    for (const address of config.addresses) doors.push(new NetDoor({ address, serve, tls, plain: config.plain, patient }));
  } catch (error) {
    await Promise.all(doors.map((door) => door.stop(0)));
    throw error;
  }
  if (tls === undefined || config.tls?.cert === undefined) return doors;
  const read = async (): Promise<TlsMaterial> => (await tlsOf(config, folder)) ?? tls;
  const every = options.lookEvery === undefined ? {} : { every: options.lookEvery };
  doors[0]?.keep(watchCertificate({ first: tls, read, ...every }, (fresh) => doors.forEach((door) => door.renew(fresh))));
  return doors;
}

async function tlsOf({ tls, addresses }: RegistryConfig, folder: string): Promise<TlsMaterial | undefined> {
  if (tls === undefined) return undefined;
  const { cert, key, clientCa } = tls;
  if ((cert === undefined) !== (key === undefined))
    throw new LighterError("invalid", "Cannot use TLS: a certificate needs its key, and a key its certificate");
  const pem =
    cert === undefined || key === undefined ? await ownCertificate(folder, addresses) : { cert: await read(cert), key: await read(key) };
  return clientCa === undefined ? pem : { ...pem, clientCa: await read(clientCa) };
}

async function ownCertificate(folder: string, addresses: readonly string[]): Promise<{ cert: string; key: string }> {
  const { certificateFor } = await import("./own-certificate.ts");
  return await certificateFor(folder, addresses);
}

async function read(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause: Error) => {
    throw new LighterError("invalid", `Cannot use TLS: reading "${path}" failed: ${cause.message}`, { cause });
  });
}
