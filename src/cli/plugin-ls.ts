import { parseFilters } from "../client/filters.ts";
import { listPlugins } from "../client/system.ts";
import { command } from "./command.ts";
import { bool, filter, string } from "./flags.ts";
import { renderListing, type Listing } from "./format.ts";

type Plugin = Awaited<ReturnType<typeof listPlugins>>[number];

/** `plugin ls`: lists the engine's plugins. Lighter has none; another daemon may. */
export const pluginLs = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: {
    filter: filter("Show only what matches the condition (enabled=true)"),
    format: string("How to show them: 'table', 'table TEMPLATE', 'json', or a Go template"),
    "no-trunc": bool("Do not shorten ids and descriptions"),
    quiet: bool("Show ids only", "q"),
  },
  async run({ flags, app }) {
    const plugins = await listPlugins(await app.connection(), parseFilters(flags.filter));
    app.out(await renderListing(listing(flags["no-trunc"]), plugins, flags.format, flags.quiet));
  },
});

function listing(whole: boolean): Listing<Plugin> {
  return {
    shown: ["ID", "Name", "Description", "Enabled"],
    quiet: "ID",
    type: "plugin.pluginContext",
    columns: {
      ID: { heading: "ID", of: ({ Id = "" }) => (whole ? Id : Id.slice(0, 12)) },
      Name: { heading: "NAME", of: ({ Name }) => Name },
      Description: { heading: "DESCRIPTION", of: ({ Config }) => oneLine(Config.Description, whole) },
      Enabled: { heading: "ENABLED", of: ({ Enabled }) => Enabled },
      PluginReference: { heading: "REFERENCE", of: ({ PluginReference = "" }) => PluginReference },
    },
  };
}

function oneLine(text: string, whole: boolean): string {
  const line = text.replaceAll(/[\r\n]+/g, " ");
  return whole || line.length <= 45 ? line : `${line.slice(0, 44)}…`;
}
