import { kindOf, LighterError, messageOf } from "../base/errors.ts";
import { logOf } from "../base/log.ts";
import { DEFAULT_REGISTRY, type Reference } from "../base/reference.ts";
import { PATIENCE_WITH_MIRRORS } from "../distribution/connection.ts";
import { isNetworkFailure, timedOut } from "../distribution/network-failure.ts";
import type { Credentials, Distribution, FetchedManifest, RegistryHost, Repository } from "../distribution/distribution.ts";
import type { Warned } from "../distribution/warnings.ts";
import type { Descriptor } from "../oci/image.ts";
import type { ImagesNeeds } from "./needs.ts";

/** Where an image comes from: what its name points at, and the addresses of its blobs, best first. */
export interface Source {
  repositories: Repository[];
  target: Descriptor;
  /** The target's bytes, where they came along. */
  fetched?: FetchedManifest;
  /** A line for the user: why this is not the registry that was asked for. */
  notice?: string;
}

/** What is asked for, and by whom. */
export interface Ask {
  reference: Reference;
  credentials?: Credentials | undefined;
  signal?: AbortSignal | undefined;
  /** The one address to ask, whatever registry the reference names. */
  host?: RegistryHost | undefined;
  /** Told of warnings that registries send along. */
  warned?: Warned;
}

/** How long Docker Hub may take before the built-in registry is asked, and how long that is remembered. */
const PATIENCE_MS = 2_500;
const MEMORY_MS = 60_000;

/**
 * Finds what a reference points at: mirrors first, then the registry; for repositories of Docker Hub that the built-in registry has, that one, but only when
 * the network gave no answer at all.
 */
export class Sources {
  readonly #distribution: Distribution;
  readonly #builtin: ImagesNeeds["builtin"];
  #unreachable: { until: number; reason: string } | undefined;

  constructor(distribution: Distribution, builtin: ImagesNeeds["builtin"]) {
    this.#distribution = distribution;
    this.#builtin = builtin;
  }

  async open(ask: Ask): Promise<Source> {
    const { reference } = ask;
    if (ask.host !== undefined || reference.registry !== DEFAULT_REGISTRY || this.#builtin?.has(reference.repository) !== true) {
      return this.#openRemote(ask, this.repositories(ask));
    }
    const known = this.#unreachable;
    if (known !== undefined && performance.now() < known.until) return this.#openBuiltin(ask, this.#builtin.unix, known.reason);
    try {
      return await this.#openImpatiently(ask);
    } catch (error) {
      if (!isNetworkFailure(error) || ask.signal?.aborted === true) throw error;
      const reason = messageOf(error).replace(/^\w+ "[^"]*": /, "");
      this.#unreachable = { until: performance.now() + MEMORY_MS, reason };
      logOf("images").warn("Docker Hub cannot be reached, the built-in registry stands in for {seconds} s: {reason}", {
        reason,
        seconds: MEMORY_MS / 1000,
      });
      return this.#openBuiltin(ask, this.#builtin.unix, reason);
    }
  }

  /** All tags of a repository. */
  async tags(ask: Ask): Promise<string[]> {
    const askable = this.repositories(ask).filter((repository) => repository.can("resolve"));
    return this.#first(askable, (repository) => repository.tags(signalOf(ask)));
  }

  repositories({ reference, credentials, host, warned }: Ask): Repository[] {
    const told = warned === undefined ? {} : { warned };
    if (host !== undefined) return this.#distribution.repository(reference, { host, ...told });
    return this.#distribution.repository(reference, { ...(credentials && { credentials }), ...told });
  }

  async #openRemote(ask: Ask, repositories: Repository[], retry = true): Promise<Source> {
    const { digest, tag = "latest" } = ask.reference;
    const askable = repositories.filter((repository) => repository.can(digest === undefined ? "resolve" : "pull"));
    return this.#first(askable, async (repository, index) => {
      const options = { ...signalOf(ask), retry };
      // Those that have just failed are not asked for blobs; those that cannot resolve may have them.
      const failed = askable.slice(0, index);
      const addresses = repositories.filter((each) => each.can("pull") && !failed.includes(each));
      const target = await repository.resolve(digest ?? tag, options);
      if (target !== undefined && (digest ?? target.digest) === target.digest) return { repositories: addresses, target };
      const fetched = await repository.manifest(digest ?? tag, options);
      return { repositories: addresses, target: fetched.descriptor, fetched };
    });
  }

  async #openBuiltin(ask: Ask, unix: string, reason: string): Promise<Source> {
    const host = { url: "http://built-in-registry", unix, insecure: true };
    const source = await this.#openRemote(ask, this.#distribution.repository(ask.reference, { host }));
    return { ...source, notice: `Docker Hub cannot be reached (${reason}): the registry built into Lighter is used` };
  }

  /** All of it, token and manifest included, within the time a user should wait for a network that is not there; an answer ends the hurry. */
  async #openImpatiently(ask: Ask): Promise<Source> {
    const repositories = this.repositories(ask);
    // Each mirror before it has its own time, so that one which says nothing does not stand for Docker Hub.
    const mirrors = repositories.filter(({ host }) => host.mirror === true).length;
    const deadline = AbortSignal.timeout(PATIENCE_MS + mirrors * PATIENCE_WITH_MIRRORS);
    const signal = ask.signal === undefined ? deadline : AbortSignal.any([deadline, ask.signal]);
    try {
      return await this.#openRemote({ ...ask, signal }, repositories, false);
    } catch (error) {
      if (deadline.aborted && kindOf(error) === "cancelled") throw timedOut("GET", `${repositories.at(-1)?.host.url}/v2/`);
      if (kindOf(error) !== "too-many" && kindOf(error) !== "unavailable") throw error;
      if (isNetworkFailure(error)) throw error;
    }
    return this.#openRemote(ask, repositories);
  }

  /** The first address that succeeds; the error is that of the last one, which is the registry itself. */
  async #first<T>(repositories: Repository[], act: (repository: Repository, index: number) => Promise<T>): Promise<T> {
    let failure: unknown = new LighterError("internal", "no address to ask");
    for (const [index, repository] of repositories.entries()) {
      try {
        return await act(repository, index);
      } catch (error) {
        if (kindOf(error) === "cancelled") throw error;
        failure = error;
        if (index < repositories.length - 1)
          logOf("images").info("{url} is passed over: {reason}", { url: repository.host.url, reason: messageOf(error) });
      }
    }
    throw failure;
  }
}

function signalOf(ask: Ask): { signal?: AbortSignal } {
  return ask.signal === undefined ? {} : { signal: ask.signal };
}
