import { join } from "node:path";
import { LighterError, messageOf } from "../base/errors.ts";
import { formatBytes } from "../base/units.ts";
import { command } from "./command.ts";
import { bool, duration, string } from "./flags.ts";

/** What a registry took away, or would: as it answers. */
export interface RegistryGcReport {
  tags: { repository: string; tag: string }[];
  manifests: { repository: string; digest: string }[];
  blobs: number;
  bytes: number;
}

/** What is asked of a collection. */
export interface RegistryGcCall {
  data: string;
  /** File with the registry's settings, for when no process serves it; empty for none. */
  config: string;
  dryRun: boolean;
  /** Milliseconds; undefined leaves it to the settings. */
  untagged: number | undefined;
}

/** `registry gc`: has a registry apply its retention rules and remove what nothing needs; opens the folder itself when no process serves it. */
export const registryGc = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    config: string("File with the settings of the registry, where none is running"),
    data: string("Folder of the registry's data", { initial: "/var/lib/lighter/registry", shown: '"/var/lib/lighter/registry"' }),
    "dry-run": bool("Only say what would be removed"),
    quiet: bool("Only print the space that was reclaimed", "q"),
    socket: string("Socket of the registry, as /run/lighter/registry.sock for the one inside of the daemon"),
    untagged: duration("Remove also manifests without a tag that are older than this"),
  },
  async run({ flags, given, app }) {
    const call: RegistryGcCall = {
      data: flags.data,
      config: flags.config,
      dryRun: flags["dry-run"],
      untagged: given("untagged") ? flags.untagged / 1e6 : undefined,
    };
    const socket = flags.socket === "" ? join(flags.data, "registry.sock") : flags.socket;
    const report = (await askRunning(socket, call)) ?? (await collectAlone(app.programs.registryGc, call, flags.socket));
    const verb = call.dryRun ? "Would remove" : "Removed";
    if (!flags.quiet) {
      for (const { repository, tag } of report.tags) app.out(`${verb} tag ${repository}:${tag}\n`);
      for (const { repository, digest } of report.manifests) app.out(`${verb} manifest ${repository}@${digest}\n`);
      app.out(`${verb} ${report.blobs} ${report.blobs === 1 ? "blob" : "blobs"}\n`);
    }
    app.out(`${call.dryRun ? "Space that would be reclaimed" : "Total reclaimed space"}: ${formatBytes(report.bytes)}\n`);
    return 0;
  },
});

/** Asks the process that serves the registry; undefined where none does. */
async function askRunning(unix: string, { dryRun, untagged }: RegistryGcCall): Promise<RegistryGcReport | undefined> {
  const query = new URLSearchParams({ dryRun: dryRun ? "1" : "0", ...(untagged === undefined ? {} : { untagged: String(untagged) }) });
  const init: BunFetchRequestInit & { timeout: false } = { method: "POST", unix, timeout: false };
  let response: Response;
  try {
    response = await fetch(`http://registry/_lighter/gc?${query}`, init);
  } catch {
    return undefined;
  }
  if (!response.ok)
    throw new LighterError("internal", `Cannot collect: the registry answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as RegistryGcReport;
}

async function collectAlone(
  collect: ((call: RegistryGcCall) => Promise<RegistryGcReport>) | undefined,
  call: RegistryGcCall,
  socket: string,
): Promise<RegistryGcReport> {
  if (socket !== "") throw new LighterError("unavailable", `Cannot collect: nobody listens on "${socket}"`);
  if (collect === undefined) throw new LighterError("internal", "Cannot collect: this program has no registry");
  try {
    return await collect(call);
  } catch (cause) {
    throw new LighterError("conflict", `Cannot collect in "${call.data}": ${messageOf(cause)}`, { cause });
  }
}
