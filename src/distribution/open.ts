import { LighterError } from "../base/errors.ts";
import { DEFAULT_REGISTRY, type Reference } from "../base/reference.ts";
import { Connection } from "./connection.ts";
import type {
  Credentials,
  Distribution,
  DistributionOptions,
  MirrorStatus,
  RegistryHost,
  Repository,
  TransferLimits,
} from "./distribution.ts";
import { Health, healthKey } from "./health.ts";
import { hostsOf, isListed, isOrigin, mirrorHost, originOf } from "./hosts.ts";
import { resolvesIntoInsecure } from "./insecure.ts";
import { RemoteRepository } from "./repository.ts";
import { search } from "./search.ts";
import type { Warned } from "./warnings.ts";

const LIMITS: TransferLimits = { downloads: 3, uploads: 5, attempts: 5 };

/** What a repository is opened for. */
interface For {
  push: boolean;
  warned?: Warned | undefined;
}

const PULL: For = { push: false };

/** Opens the client of registries. Makes no connection by itself. */
export function openDistribution(given: DistributionOptions): Distribution {
  const connections = new Map<string, Connection>();
  const health = new Health();
  const limits = { ...LIMITS, ...given.limits };
  let options = given;

  function connect(host: RegistryHost, credentials: Credentials | undefined): Connection {
    const key = JSON.stringify([host, credentials]);
    let connection = connections.get(key);
    if (connection === undefined) {
      if (connections.size >= 256) connections.clear();
      connections.set(key, (connection = new Connection(host, credentials, options)));
    }
    return connection;
  }

  function open(host: RegistryHost, reference: Reference, credentials: Credentials | undefined, { push, warned }: For): Repository {
    const named = warned && ((text: string): void => warned(`${new URL(host.url).host}: ${text}`));
    return new RemoteRepository(connect(host, host.credentials ?? credentials), reference, { push, health, warned: named });
  }

  /** Credentials are those of the registry itself: a mirror does not get to see them. */
  function openAll(hosts: RegistryHost[], reference: Reference, credentials: Credentials | undefined, to: For): Repository[] {
    const own = (host: RegistryHost): boolean => isOrigin(host, reference.registry, options.insecureRegistries);
    return hosts.map((host) => open(host, reference, own(host) ? credentials : undefined, to));
  }

  /** Those to be asked, in order. The last one stands for the registry: it is always among them. */
  function usable(registry: string, push: boolean): RegistryHost[] {
    const hosts = hostsOf(registry, options).map(({ host }) => host);
    return hosts.filter((host, index) => {
      if (index === hosts.length - 1) return true;
      if (push) return host.capabilities?.includes("push") === true;
      return health.failure(healthKey(host)) === undefined && host.capabilities?.some((can) => can !== "push") !== false;
    });
  }

  return {
    limits,
    configure(next) {
      options = next;
      connections.clear();
      health.clear();
      Object.assign(limits, LIMITS, next.limits);
    },
    mirrored: () => [
      ...new Set([...(options.registryMirrors.length > 0 ? [DEFAULT_REGISTRY] : []), ...Object.keys(options.mirrors ?? {})]),
    ],
    addresses: (registry) =>
      hostsOf(registry, options).map(({ host, source }): MirrorStatus => {
        const failure = host.mirror === true ? health.failure(healthKey(host)) : undefined;
        return failure === undefined ? { host, source } : { host, source, failure };
      }),
    candidate: (reference, url) =>
      open({ ...mirrorHost(url, options.insecureRegistries), namespace: reference.registry }, reference, undefined, PULL),
    everyAddress: (reference, { credentials }) =>
      openAll(
        hostsOf(reference.registry, options).map(({ host }) => host),
        reference,
        credentials,
        PULL,
      ),
    repository: (reference, { credentials, push = false, host, warned }) =>
      host === undefined
        ? openAll(usable(reference.registry, push), reference, credentials, { push, warned })
        : [open(host, reference, credentials, { push, warned })],
    takesForeign: async (registry) => {
      const { nondistributable = [] } = options;
      return isListed(registry, nondistributable) || (await resolvesIntoInsecure(registry, nondistributable));
    },
    login: (registry, credentials) => login(registry, credentials, options),
    search: (text, request) => search(text, request, options),
  };
}

/** Checks credentials with a connection of its own, so that nothing of a failed login stays. */
async function login(
  registry: string,
  credentials: Credentials,
  options: DistributionOptions,
): Promise<{ status: string; identityToken: string }> {
  const reference: Reference = { registry: registryOf(registry), repository: "library/login" };
  if (URL.parse(`https://${reference.registry}`) === null)
    throw new LighterError("invalid", `Cannot log in to "${registry}": it is not a registry`);
  const connection = new Connection(originOf(reference.registry, options.insecureRegistries), credentials, options);
  const token = await connection.loginToken();
  if (token === undefined) await checkBasic(connection);
  return { status: "Login Succeeded", identityToken: token?.refreshToken ?? "" };
}

/** Throws, in Docker's words, where the registry's front door does not open to the credentials. */
async function checkBasic(connection: Connection): Promise<void> {
  const response = await connection.request({ method: "GET", path: "/v2/", scopes: [] });
  await response.body?.cancel().catch(() => undefined);
  if (response.ok) return;
  const url = `${(await connection.ping()).base}/v2/`;
  if (response.status === 401 && connection.credentials?.username === undefined)
    throw new LighterError("unauthorized", `Get "${url}": no basic auth credentials`);
  const kind = response.status === 401 ? "unauthorized" : "unavailable";
  throw new LighterError(kind, `login attempt to ${url} failed with status: ${response.status} ${response.statusText}`);
}

/** The registry's host of what `docker login` was given: a host, a URL, or the old address of Docker Hub. */
function registryOf(text: string): string {
  const host = text.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return host === "" || host === "index.docker.io" || host === "registry-1.docker.io" ? DEFAULT_REGISTRY : host;
}
