import { booleanFilter, filterValues, matchLabels, type Filters } from "../wire/filters.ts";
import type { VolumeRow } from "./rows.ts";

/** The volumes that filters let through: `dangling`, `driver`, `label`, `name` (a part of it, or a regular expression). */
export function filterVolumes(rows: readonly VolumeRow[], filters: Filters, users: ReadonlyMap<string, number>): VolumeRow[] {
  const dangling = booleanFilter(filters, "dangling");
  const drivers = filterValues(filters, "driver");
  const names = filterValues(filters, "name");
  return rows.filter(
    (row) =>
      (dangling === undefined || dangling === !users.has(row.name)) &&
      (drivers === undefined || drivers.includes(row.driver)) &&
      (names === undefined || names.some((wanted) => matchesName(row.name, wanted))) &&
      matchLabels(filters, row.config.labels ?? {}),
  );
}

function matchesName(name: string, wanted: string): boolean {
  if (name.includes(wanted)) return true;
  try {
    return new RegExp(wanted).test(name);
  } catch {
    return false;
  }
}
