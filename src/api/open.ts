import { LighterError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import { passedSockets } from "../linux/passed-sockets.ts";
import { type Address, type AddressRules, checkPlain, parseAddress, type TlsOptions } from "../transport/address.ts";
import { groupId, listen, type Listener } from "../transport/listen.ts";
import { engineApi } from "./door.ts";
import { metricsAddress, metricsDoor } from "./metrics.ts";

/** Where the Engine API listens. */
export interface ApiOptions {
  /** `unix:///path`, `tcp://host:port` and `fd://`, as `-H` takes them. */
  hosts: readonly string[];
  /** Paths of PEM files; `verify` asks clients for a certificate of `ca`. */
  tls: { verify: boolean; ca?: string; cert?: string; key?: string } | undefined;
  /** Group of the unix sockets; must exist. Left out, it is `docker` where there is that. */
  group?: string | undefined;
  /** TCP without TLS is allowed on any address. */
  allowPlainTcp: boolean;
  /** `HOST:PORT` of the engine's metrics; none where there is none. */
  metricsAddress?: string | undefined;
}

/** The doors that are open. */
export interface Api extends AsyncDisposable {
  readonly listeners: readonly Listener[];
}

/** Opens every address for the Engine API; when one cannot be opened, none stays open. */
export async function openApi(engine: Engine, options: ApiOptions): Promise<Api> {
  const tls = options.tls && (await readTls(options.tls));
  const rules = { ...(tls && { tls }), plainTcp: options.allowPlainTcp };
  const addresses = options.hosts.flatMap((host) => addressesOf(host, rules));
  const { group } = options;
  if (group !== undefined && groupId(group) === undefined)
    throw new LighterError("invalid", `Cannot give the socket to group "${group}": group ${group} not found`);
  const handler = engineApi(engine);
  const listeners: Listener[] = [];
  const close = async (): Promise<void> => void (await Promise.all(listeners.map((listener) => listener.close())));
  try {
    for (const address of addresses) listeners.push(await listen(address, { handler, ...(group !== undefined && { group }) }));
    if (options.metricsAddress && engine.metrics)
      listeners.push(await listen(metricsAddress(options.metricsAddress), { handler: metricsDoor(engine.metrics) }));
  } catch (error) {
    await close();
    throw error;
  }
  return { listeners, [Symbol.asyncDispose]: close };
}

/** The doors that a `-H` means: sockets of the service manager are as many as it has opened. Throws `invalid`, where there is none in Docker's words. */
function addressesOf(host: string, rules: AddressRules): Address[] {
  const address = parseAddress(host, rules);
  if (address.kind !== "fd") return [address];
  const { which } = address;
  const refuse = (why: string): LighterError => new LighterError("invalid", `Cannot listen on "${host}": ${why}`);
  const all = passedSockets();
  if (all.length === 0) throw refuse("no sockets found via socket activation: make sure the service was started by systemd");
  const meant = all.filter(({ fd, name }) => which === "" || which === name || which === String(fd));
  if (meant.length === 0)
    throw refuse(`there is no such socket among those of systemd: ${all.map(({ fd, name }) => `${fd} (${name})`).join(", ")}`);
  return meant.map(({ fd, local }) => {
    if (local.kind === "unix") return { kind: "passed", fd };
    checkPlain(host, local.hostname, rules);
    return { kind: "passed", fd, port: local.port, ...(rules.tls && { tls: rules.tls }) };
  });
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
