import { LighterError } from "../base/errors.ts";
import { DEFAULT_REGISTRY, type Reference } from "../base/reference.ts";
import { refusalOf } from "./answers.ts";
import { Connection } from "./connection.ts";
import type { Credentials, Distribution, DistributionOptions, RegistryHost, Repository } from "./distribution.ts";
import { hostsOf } from "./hosts.ts";
import { RemoteRepository } from "./repository.ts";
import { search } from "./search.ts";

/** Opens the client of registries. Makes no connection by itself. */
export function openDistribution(options: DistributionOptions): Distribution {
  const connections = new Map<string, Connection>();

  function connect(host: RegistryHost, credentials: Credentials | undefined): Connection {
    const key = JSON.stringify([host.url, host.unix, host.insecure, credentials]);
    let connection = connections.get(key);
    if (connection === undefined) {
      if (connections.size >= 256) connections.clear();
      connections.set(key, (connection = new Connection(host, credentials, options)));
    }
    return connection;
  }

  function repository(
    reference: Reference,
    { credentials, push = false, host }: { credentials?: Credentials; push?: boolean; host?: RegistryHost },
  ): Repository[] {
    const hosts = host === undefined ? hostsOf(reference, options, push) : [host];
    return hosts.map((each, index) => {
      // Credentials are those of the registry itself: a mirror does not get to see them.
      const own = index === hosts.length - 1 ? credentials : undefined;
      return new RemoteRepository(connect(each, own), reference, push);
    });
  }

  return {
    repository,
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
  const host = hostsOf(reference, options, true)[0];
  if (host === undefined) throw new LighterError("invalid", `Cannot log in to "${registry}": it is not a registry`);
  const connection = new Connection(host, credentials, options);
  const token = await connection.loginToken();
  if (token === undefined) await checkBasic(connection, reference);
  return { status: "Login Succeeded", identityToken: token?.refreshToken ?? "" };
}

async function checkBasic(connection: Connection, reference: Reference): Promise<void> {
  const response = await connection.request({ method: "GET", path: "/v2/", scopes: [] });
  if (response.status === 401) {
    throw new LighterError("unauthorized", `Get "${connection.host.url}/v2/": unauthorized: authentication required`);
  }
  if (!response.ok) throw await refusalOf(response, { method: "GET", url: "/v2/", reference, push: true });
  await response.body?.cancel().catch(() => undefined);
}

/** The registry's host of what `docker login` was given: a host, a URL, or the old address of Docker Hub. */
function registryOf(text: string): string {
  const host = text.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return host === "" || host === "index.docker.io" || host === "registry-1.docker.io" ? DEFAULT_REGISTRY : host;
}
