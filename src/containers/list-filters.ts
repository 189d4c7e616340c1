import { LighterError } from "../base/errors.ts";
import { booleanFilter, type Filters, filterValues, matchLabels } from "../wire/filters.ts";
import type { ContainerSummary } from "../wire/engine-api.ts";
import { type ContainerRow } from "./rows.ts";
import { apiStatus } from "./status-text.ts";

const STATUSES = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS = ["none", "starting", "healthy", "unhealthy"];

/** What `ps` can be filtered by. */
export const LIST_FILTERS = [
  "id",
  "name",
  "label",
  "label!",
  "status",
  "ancestor",
  "before",
  "since",
  "exited",
  "health",
  "network",
  "volume",
  "publish",
  "expose",
  "is-task",
  "isolation",
] as const;

/** Checks names and values of filters; throws `invalid` with Docker's text. */
export function checkFilters(filters: Filters): void {
  for (const key of filters.keys()) {
    if (!(LIST_FILTERS as readonly string[]).includes(key)) throw new LighterError("invalid", `invalid filter '${key}'`);
  }
  const oneOf = (key: string, allowed: string[]): void => {
    for (const value of filterValues(filters, key) ?? []) {
      if (!allowed.includes(value)) throw new LighterError("invalid", `invalid filter '${key}=${value}'`);
    }
  };
  oneOf("status", STATUSES);
  oneOf("health", HEALTHS);
  for (const value of filterValues(filters, "exited") ?? []) {
    if (!/^-?\d+$/.test(value)) throw new LighterError("invalid", `invalid filter 'exited=${value}'`);
  }
  booleanFilter(filters, "is-task");
  for (const key of ["publish", "expose"]) for (const value of filterValues(filters, key) ?? []) portsOfFilter(value);
}

/** Whether a row passes everything that the row itself can answer. */
export function matchRow(row: ContainerRow, filters: Filters): boolean {
  const any = (key: string, test: (value: string) => boolean): boolean => filterValues(filters, key)?.some(test) ?? true;
  return (
    any("id", (value) => row.id.startsWith(value) || matches(value, row.id)) &&
    any("name", (value) => matches(value, row.name) || matches(value, `/${row.name}`)) &&
    any("status", (value) => apiStatus(row) === value) &&
    any("exited", (value) => apiStatus(row) === "exited" && row.finished !== 0n && row.exitCode === Number(value)) &&
    any("health", (value) => (row.health?.Status ?? "none") === value) &&
    any("volume", (value) => row.desired.mounts.some(({ source, destination }) => source === value || destination === value)) &&
    booleanFilter(filters, "is-task") !== true &&
    matchLabels(filters, row.desired.config.Labels ?? {})
  );
}

/** Docker's filters are regular expressions; what is none is taken literally. */
function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern).test(text);
  } catch {
    return text.includes(pattern);
  }
}

/** Whether networks and ports pass. */
export function matchSummary(summary: ContainerSummary, filters: Filters): boolean {
  const networks = Object.entries(summary.NetworkSettings?.Networks ?? {});
  const network = filterValues(filters, "network");
  if (
    network &&
    !network.some((value) =>
      networks.some(([name, { NetworkID = "" }]) => name === value || (value.length >= 12 && NetworkID.startsWith(value))),
    )
  )
    return false;
  const ports = summary.Ports ?? [];
  const wantsPort = (key: string, pick: (port: (typeof ports)[number]) => number | undefined): boolean | undefined =>
    filterValues(filters, key)?.some((value) => {
      const { from, to, type } = portsOfFilter(value);
      return ports.some((port) => {
        const number = pick(port);
        return number !== undefined && number >= from && number <= to && port.Type === type;
      });
    });
  const publish = wantsPort("publish", ({ PublicPort }) => PublicPort);
  const expose = wantsPort("expose", ({ PrivatePort }) => PrivatePort);
  return publish === undefined && expose === undefined ? true : (publish ?? false) || (expose ?? false);
}

function portsOfFilter(value: string): { from: number; to: number; type: string } {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(value);
  if (!match) throw new LighterError("invalid", `invalid port specification: "${value}"`);
  return { from: Number(match[1]), to: Number(match[2] ?? match[1]), type: match[3] ?? "tcp" };
}
