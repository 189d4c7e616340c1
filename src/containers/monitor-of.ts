import type { MonitorSpec } from "../runtime/runtime.ts";
import type { Context } from "./context.ts";
import { pathsOf } from "./paths.ts";
import type { ContainerRow } from "./rows.ts";

/** What a container's monitor has to know: its root, its log, its input. */
export function monitorOf(context: Context, row: ContainerRow, layers: string[]): MonitorSpec {
  const { options, runtime } = context.needs;
  const { config, hostConfig: host } = row.desired;
  const paths = pathsOf(options, row.id);
  const terminal = config.Tty ?? false;
  return {
    id: row.id,
    runtime: runtime.record(row.runtime),
    directory: paths.run,
    rootfs: { lower: layers, upper: paths.upper, work: layers.length === 0 ? "" : paths.work, volatile: row.autoRemove },
    terminal,
    stdin: !config.OpenStdin ? "none" : config.StdinOnce && !terminal ? "once" : "open",
    logFile: host.LogConfig?.Type === "none" ? undefined : paths.log,
  };
}
