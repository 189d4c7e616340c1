import { timed } from "./measure.ts";

/** Where the time of one `run --rm` goes, in milliseconds: medians over several runs. */
export interface Split {
  what: string;
  milliseconds: number;
}

type Spans = Map<string, number>;

/**
 * Runs `lighter run --rm busybox true` against a daemon with `LIGHTER_TRACE` and reads the spans from its log.
 * What no span of the daemon covers is the client, the socket and the program itself.
 */
export async function splitOf(options: { client: string; host: string; log: () => Promise<string>; runs: number }): Promise<Split[]> {
  const totals: number[] = [];
  const command = [options.client, "run", "--rm", "busybox", "true"];
  await timed(command, { DOCKER_HOST: options.host });
  const before = (await options.log()).length;
  for (let run = 0; run < options.runs; run++) totals.push(await timed(command, { DOCKER_HOST: options.host }));
  const runs = groupSpans((await options.log()).slice(before));
  const medianOf = (names: string[]): number => median(runs.map((spans) => names.reduce((sum, name) => sum + (spans.get(name) ?? 0), 0)));
  const parts = PARTS.map(({ what, names }) => ({ what, milliseconds: medianOf(names) }));
  const total = median(totals);
  const rest = total - medianOf(["create.total", "start.total", "exit.total"]);
  return [...parts, { what: "client, socket, attach and the program itself", milliseconds: rest }, { what: "all", milliseconds: total }];
}

/** Spans of the daemon's trace, by the words of the issue. */
const PARTS: { what: string; names: string[] }[] = [
  { what: "create: image, plan, directories, row", names: ["create.total"] },
  { what: "network: reserve, take from the pool", names: ["start.reserve", "start.network"] },
  { what: "start: specification, row", names: ["start.spec", "start.directories", "start.transaction"] },
  { what: "runtime: conmon, crun create", names: ["start.runtime"] },
  { what: "runtime: start", names: ["start.run"] },
  { what: "exit: row, cgroup, namespace", names: ["exit.transaction", "exit.cleanup"] },
  { what: "remove: row, directories", names: ["exit.remove"] },
];

/** One map a container: `create.image`, `start.total`, ... from lines `trace <operation> <id> total=1.2 name=3.4 ...`. */
function groupSpans(log: string): Spans[] {
  const byContainer = new Map<string, Spans>();
  for (const [, operation = "", id = "", fields = ""] of log.matchAll(/msg="trace (\w+) ([0-9a-f]+) ([^"]*)"/g)) {
    const spans = byContainer.get(id) ?? new Map<string, number>();
    byContainer.set(id, spans);
    for (const [, name = "", value = ""] of fields.matchAll(/(\w+)=([\d.]+)/g)) spans.set(`${operation}.${name}`, Number(value));
  }
  return [...byContainer.values()].filter((spans) => spans.has("create.total") && spans.has("exit.total"));
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** A Markdown table of a split. */
export function splitTable(split: readonly Split[]): string {
  return [
    "| part of `lighter run --rm busybox true` | ms |",
    "|---|---:|",
    ...split.map(({ what, milliseconds }) => `| ${what} | ${milliseconds.toFixed(1)} |`),
  ].join("\n");
}
