import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LighterError } from "./base/errors.ts";
import type { RegistryGcCall, RegistryGcReport } from "./cli/registry-gc.ts";
import { openContent } from "./content/open.ts";
import { lockFile } from "./linux/flock.ts";
import { parseRegistryConfig } from "./registry/config.ts";
import { openStorage } from "./registry/open-storage.ts";
import { collectGarbage, noteGrace } from "./registry/gc.ts";
import { REGISTRY_ROOTS } from "./registry/rows.ts";
import { defaultSettings, parseSettings } from "./registry/settings.ts";
import { State } from "./state/state.ts";

/** `lighter registry gc` on a folder that no process serves: takes its lock, collects, lets it go. */
export async function collectRegistry({ data, config, dryRun, untagged }: RegistryGcCall): Promise<RegistryGcReport> {
  const path = join(data, "state.db");
  if (!existsSync(path)) throw new LighterError("not-found", "there is no registry");
  using held = lockFile(join(data, "lock"));
  if (held === undefined) throw new LighterError("conflict", "another process is using it");
  const rest = config === "" ? undefined : parseRegistryConfig(JSON.parse(readFileSync(config, "utf8")), config).rest;
  const settings = rest === undefined ? defaultSettings() : parseSettings(rest);
  const state = new State(path);
  try {
    const local = await openContent({ dataRoot: data, state, roots: [REGISTRY_ROOTS] });
    if (rest !== undefined) noteGrace(state, settings.gc.grace);
    const content = await openStorage({ state, content: local, s3: settings.s3 });
    const report = await collectGarbage({ state, content, rules: settings.retention, untagged: untagged ?? settings.gc.untagged, dryRun });
    await local.settled();
    await content.close();
    return report;
  } finally {
    state.close();
  }
}
