import type { Connection } from "../client/connection.ts";
import { listContainers } from "../client/containers.ts";
import { allStats, containerStats, followStats } from "../client/stats.ts";
import { events } from "../client/system.ts";
import type { ContainerStatsResponse } from "../wire/engine-api.ts";
import { shortId } from "../base/ids.ts";

/** One line of `stats`: a container as it was called for, and its numbers once there are some. */
export interface StatsLine {
  /** The name or id as given, or the short id. */
  container: string;
  stats: ContainerStatsResponse | undefined;
}

export interface StatsQuery {
  /** Also containers that do not run. */
  all: boolean;
  /** These alone; none means all. */
  names: readonly string[];
  /** Go on for ever, or until the named containers are gone. */
  stream: boolean;
}

const MILLISECONDS = 1_000;

/** What containers use, all lines at once, each second anew. Throws the daemon's error for a name that it does not know at the start. */
export async function* statsLines(connection: Connection, query: StatsQuery): AsyncGenerator<StatsLine[], void, undefined> {
  const containers = [...new Set(query.names)];
  const first = await allStats(connection, { all: query.all, containers });
  if (first === undefined) return yield* fromDocker(connection, { ...query, names: containers });
  // The answers are in the order of the names.
  const named = containers.map((name, index) => ({ name, id: first[index]?.id }));
  yield linesOf(first, named);
  while (query.stream) {
    await Bun.sleep(MILLISECONDS);
    const stats = (await allStats(connection, { all: query.all || named.length > 0, containers: [] })) ?? [];
    const lines = linesOf(stats, named);
    if (named.length > 0 && lines.length === 0) return;
    yield lines;
  }
}

/** All of them, or those that were named and are still there. */
function linesOf(stats: readonly ContainerStatsResponse[], named: readonly { name: string; id: string | null | undefined }[]): StatsLine[] {
  if (named.length === 0) return stats.map((one) => ({ container: shortId(one.id ?? ""), stats: one }));
  const byId = new Map(stats.map((one) => [one.id, one]));
  return named.flatMap(({ name, id }) => (byId.has(id) ? [{ container: name, stats: byId.get(id) }] : []));
}

/** From a daemon that knows no request for all: a stream a container, new containers by events. */
async function* fromDocker(connection: Connection, query: StatsQuery): AsyncGenerator<StatsLine[], void, undefined> {
  const listed = query.names.length > 0 ? [] : await listContainers(connection, { all: query.all });
  const names = query.names.length > 0 ? query.names : listed.map(({ Id = "" }) => shortId(Id));
  if (!query.stream)
    return yield await Promise.all(names.map(async (name) => ({ container: name, stats: await containerStats(connection, name) })));
  await Promise.all(query.names.map((name) => containerStats(connection, name)));
  const followed = new Followed(connection);
  for (const name of names) followed.add(name);
  if (query.names.length === 0) void followed.watch(query.all);
  await Bun.sleep(MILLISECONDS);
  for (;;) {
    followed.check();
    if (query.names.length > 0 && followed.lines.size === 0) return;
    yield [...followed.lines.values()];
    await Bun.sleep(MILLISECONDS);
  }
}

/** The containers that are followed, the youngest first. */
class Followed {
  readonly lines = new Map<string, StatsLine>();
  readonly #connection: Connection;
  readonly #ends = new Map<string, AbortController>();
  #failure: unknown;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Throws what ended the stream of events. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  add(name: string): void {
    if (this.lines.has(name)) return;
    const line: StatsLine = { container: name, stats: undefined };
    this.lines.set(name, line);
    const end = new AbortController();
    this.#ends.set(name, end);
    void this.#follow(line, end.signal);
  }

  drop(name: string): void {
    this.#ends.get(name)?.abort();
    this.#ends.delete(name);
    this.lines.delete(name);
  }

  async watch(all: boolean): Promise<void> {
    try {
      const filters = { type: ["container"], event: all ? ["create", "destroy"] : ["start", "die", "destroy"] };
      for await (const { event } of events(this.#connection, { filters })) {
        const name = shortId(event.Actor?.ID ?? "");
        if (event.Action === "create" || event.Action === "start") this.add(name);
        else this.drop(name);
      }
    } catch (error) {
      this.#failure = error;
    }
  }

  async #follow(line: StatsLine, signal: AbortSignal): Promise<void> {
    try {
      for await (const stats of followStats(this.#connection, line.container, signal)) line.stats = stats;
    } catch {
      // The connection broke, or the container went: the line goes, and the events tell the rest.
    }
    this.drop(line.container);
  }
}
