import { LighterError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import { parseAddress, type TlsOptions } from "../transport/address.ts";
import { groupId, listen, type Listener } from "../transport/listen.ts";
import { engineApi } from "./door.ts";

/** Where the Engine API listens. */
export interface ApiOptions {
  /** `unix:///path` and `tcp://host:port`, as `-H` takes them. */
  hosts: readonly string[];
  /** Paths of PEM files; `verify` asks clients for a certificate of `ca`. */
  tls: { verify: boolean; ca?: string; cert?: string; key?: string } | undefined;
  /** Group of the unix sockets; must exist. Left out, it is `docker` where there is that. */
  group?: string | undefined;
  /** TCP without TLS is allowed on any address. */
  allowPlainTcp: boolean;
}

/** The doors that are open. */
export interface Api extends AsyncDisposable {
  readonly listeners: readonly Listener[];
}

/** Opens every address for the Engine API; when one cannot be opened, none stays open. */
export async function openApi(engine: Engine, options: ApiOptions): Promise<Api> {
  const tls = options.tls && (await readTls(options.tls));
  const addresses = options.hosts.map((host) => parseAddress(host, { ...(tls && { tls }), plainTcp: options.allowPlainTcp }));
  const { group } = options;
  if (group !== undefined && groupId(group) === undefined)
    throw new LighterError("invalid", `Cannot give the socket to group "${group}": group ${group} not found`);
  const handler = engineApi(engine);
  const listeners: Listener[] = [];
  const close = async (): Promise<void> => void (await Promise.all(listeners.map((listener) => listener.close())));
  try {
    for (const address of addresses) listeners.push(await listen(address, { handler, ...(group !== undefined && { group }) }));
  } catch (error) {
    await close();
    throw error;
  }
  return { listeners, [Symbol.asyncDispose]: close };
}

async function readTls({ verify, ca, cert, key }: NonNullable<ApiOptions["tls"]>): Promise<TlsOptions> {
  if (cert === undefined || key === undefined || (verify && ca === undefined)) {
    throw new LighterError("invalid", `Cannot use TLS: --tlscert and --tlskey${verify ? " and --tlscacert" : ""} are needed`);
  }
  const read = (path: string): Promise<string> =>
    Bun.file(path)
      .text()
      .catch((cause: unknown) => {
        throw new LighterError("invalid", `Cannot use TLS: reading "${path}" failed: ${(cause as Error).message}`, { cause });
      });
  const pem = { cert: await read(cert), key: await read(key) };
  return verify && ca !== undefined ? { ...pem, ca: await read(ca) } : pem;
}
