import type { Distribution, Repository } from "../distribution/distribution.ts";
import type { State, Tx } from "../state/state.ts";
import { hasRepository } from "./rows.ts";
import type { ProxySettings } from "./settings.ts";

/** A name that means a repository of an upstream. */
export interface Upstream {
  proxy: ProxySettings;
  /** Its name here: the prefix and its own name. */
  local: string;
  /** Its name there. */
  remote: string;
  /** Nothing in the name says that it is the upstream's: it may as well be a name of our own that nothing was pushed to yet. */
  isGuess: boolean;
}

const DOCKER_HUB = "docker.io";

/**
 * Which upstream a name means: the one that `ns` names (containerd's mirrors), the longest prefix, and for all other names that are not of our own,
 * docker.io or the proxy without a prefix (docker's `registry-mirrors`). Undefined for what is ours.
 */
export function upstreamOf(
  state: State,
  proxies: readonly ProxySettings[],
  repository: string,
  namespace: string | null,
): Upstream | undefined {
  if (proxies.length === 0) return undefined;
  const named = proxies.find(({ prefix }) => prefix === namespace && prefix !== "");
  if (named !== undefined) return upstream(named, repository, false);
  const prefixed = proxies.filter(({ prefix }) => prefix !== "" && repository.startsWith(`${prefix}/`));
  const longest = prefixed.toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
  if (longest !== undefined) return upstream(longest, repository.slice(longest.prefix.length + 1), false);
  const fallback = proxies.find(({ prefix }) => prefix === "") ?? proxies.find(({ prefix }) => prefix === DOCKER_HUB);
  if (fallback === undefined || (hasRepository(state, repository) && !isProxied(state, repository))) return undefined;
  return upstream(fallback, repository, true);
}

function upstream(proxy: ProxySettings, name: string, isGuess: boolean): Upstream {
  const remote = proxy.prefix === DOCKER_HUB && !name.includes("/") ? `library/${name}` : name;
  return { proxy, remote, isGuess, local: proxy.prefix === "" ? remote : `${proxy.prefix}/${remote}` };
}

/** The client of an upstream's repository. */
export function repositoryOf(distribution: Distribution, { proxy, remote }: Upstream): Repository {
  const { username, password, url, insecure } = proxy;
  const reference = { registry: new URL(url).host, repository: remote };
  const credentials = username === undefined ? {} : { credentials: { username, password: password ?? "" } };
  const [repository] = distribution.repository(reference, { ...credentials, host: { url, insecure } });
  if (repository === undefined) throw new TypeError(`no client for ${url}`);
  return repository;
}

/** The row without a tag says that a repository is an upstream's. */
export function isProxied(state: State, repository: string): boolean {
  return state.get("SELECT 1 FROM registry_upstream_tags WHERE repository = ? AND tag = ''", repository) !== undefined;
}

/** Notes that a repository is an upstream's, and when one of its tags was compared with it (nanoseconds). */
export function noteChecked(tx: Tx, repository: string, tag: string, time: bigint): void {
  tx.run("INSERT INTO registry_upstream_tags (repository, tag, checked) VALUES (?, '', ?) ON CONFLICT DO NOTHING", repository, time);
  const sql =
    "INSERT INTO registry_upstream_tags (repository, tag, checked) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET checked = excluded.checked";
  if (tag !== "") tx.run(sql, repository, tag, time);
}

/** When a tag was last compared with its upstream, in nanoseconds; 0 for never. */
export function checkedAt(state: State, repository: string, tag: string): bigint {
  const sql = "SELECT CAST(checked AS TEXT) AS checked FROM registry_upstream_tags WHERE repository = ? AND tag = ?";
  return BigInt(state.get<{ checked: string }>(sql, repository, tag)?.checked ?? 0);
}
