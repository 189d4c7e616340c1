import type { App } from "./app.ts";
import { findPlugin, installedPlugins } from "./plugins.ts";

/** What a plugin of docker's command line says of itself, under the names that `info` shows. */
export interface PluginMetadata {
  SchemaVersion: string;
  Vendor: string;
  Version: string;
  ShortDescription: string;
  Name: string;
  Path: string;
}

const PATIENCE_MS = 5000;

/** The plugins that are installed, each asked who it is; what does not answer as a plugin is left out. */
export async function pluginMetadata(app: App): Promise<PluginMetadata[]> {
  const all = await Promise.all(installedPlugins(app).map((name) => ask(name, findPlugin(app, name) ?? "")));
  return all.filter((plugin) => plugin !== undefined);
}

async function ask(Name: string, Path: string): Promise<PluginMetadata | undefined> {
  try {
    const child = Bun.spawn([Path, "docker-cli-plugin-metadata"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      timeout: PATIENCE_MS,
    });
    const said = (await child.stdout.json()) as Partial<PluginMetadata>;
    const { SchemaVersion = "", Vendor = "", Version = "", ShortDescription = "" } = said;
    return { SchemaVersion, Vendor, Version, ShortDescription, Name, Path };
  } catch {
    return undefined;
  }
}
