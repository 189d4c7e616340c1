import { LighterError, messageOf } from "../base/errors.ts";
import { buildInfo } from "../base/build-info.ts";
import { systemInfo } from "../client/system.ts";
import type { SystemInfo } from "../wire/engine-api.ts";
import { command } from "./command.ts";
import { contextName } from "./connect.ts";
import { string } from "./flags.ts";
import { goField } from "./go-field.ts";
import { infoText } from "./info-text.ts";
import { pluginMetadata, type PluginMetadata } from "./plugin-metadata.ts";

/** `info`: shows what the daemon is and has. */
export const info = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: { format: string("How to show it: 'json' or a Go template", "f") },
  async run({ flags, app }) {
    const ClientInfo = {
      Debug: app.globals.debug,
      Version: buildInfo().version,
      Context: contextName(app),
      Plugins: await pluginMetadata(app),
      Warnings: null,
    };
    let server: SystemInfo | undefined;
    let failure: unknown;
    try {
      server = await systemInfo(await app.connection());
    } catch (error) {
      failure = error;
    }
    if (flags.format === "") {
      app.out(
        `Client:\n Version:    ${ClientInfo.Version}\n Context:    ${ClientInfo.Context}\n Debug Mode: ${ClientInfo.Debug}\n${pluginLines(ClientInfo.Plugins)}\nServer:\n`,
      );
      if (server) {
        app.out(infoText(server));
        for (const warning of server.Warnings ?? []) app.err(`${warning}\n`);
      }
    } else {
      const all = { ...server, ...(failure !== undefined && { ServerErrors: [messageOf(failure)] }), ClientInfo };
      app.out(await formatted(all, flags.format));
    }
    if (failure === undefined) return 0;
    app.err(`${messageOf(failure)}\n${flags.format === "" ? "errors pretty printing info\n" : ""}`);
    return 1;
  },
});

function pluginLines(plugins: readonly PluginMetadata[]): string {
  const lines = plugins.map(({ Name, ShortDescription, Vendor, Version, Path }) => {
    const vendor = Vendor === "" ? "" : ` (${Vendor})`;
    const version = Version === "" ? "" : `    Version:  ${Version}\n`;
    return `  ${Name}: ${ShortDescription}${vendor}\n${version}    Path:     ${Path}\n`;
  });
  return lines.length === 0 ? "" : ` Plugins:\n${lines.join("")}`;
}

async function formatted(all: object, format: string): Promise<string> {
  if (format === "json") return `${JSON.stringify(all)}\n`;
  const { compileTemplate } = await import("./template.ts");
  try {
    const missing = (field: string): string => `can't evaluate field ${field} in type system.dockerInfo`;
    return `${compileTemplate(format, { missing, alias: goField })(all)}\n`;
  } catch (error) {
    throw new LighterError("invalid", messageOf(error), { cause: error });
  }
}
