import { LighterError } from "../base/errors.ts";
import { momentOf } from "../base/moment.ts";
import { type Filters, filterValues, matchLabels } from "../wire/filters.ts";
import { type Context, isRunning } from "./context.ts";
import { appendPrune } from "../state/events.ts";
import { removeContainer } from "./remove.ts";
import { allRows } from "./rows.ts";
import { sizesOf } from "./size.ts";

/** Removes all containers that do not run, or those of them that the filters `until` and `label` let through. */
export async function pruneContainers(context: Context, filters: Filters): Promise<{ deleted: string[]; bytes: number }> {
  for (const key of filters.keys()) {
    if (!["until", "label", "label!"].includes(key)) throw new LighterError("invalid", `invalid filter '${key}'`);
  }
  const until = untilOf(filters);
  const deleted: string[] = [];
  let bytes = 0;
  for (const row of allRows(context.needs.state)) {
    if (isRunning(row) || row.status === "restarting" || row.status === "starting") continue;
    if (row.created > until || !matchLabels(filters, row.desired.config.Labels ?? {})) continue;
    const { SizeRw } = await sizesOf(context, row);
    try {
      await removeContainer(context, row.id, { force: false, volumes: false, link: false });
    } catch (error) {
      // It was started or removed meanwhile.
      if (error instanceof LighterError && (error.kind === "conflict" || error.kind === "not-found")) continue;
      throw error;
    }
    deleted.push(row.id);
    bytes += SizeRw;
  }
  context.needs.state.write((tx) => appendPrune(tx, "container", bytes), { durable: false });
  return { deleted, bytes };
}

function untilOf(filters: Filters): bigint {
  const values = filterValues(filters, "until");
  if (values === undefined) return 2n ** 62n;
  const [value = ""] = values;
  if (values.length > 1) throw new LighterError("invalid", "more than one until filter specified");
  return momentOf(value);
}
