import { messageOf, LighterError } from "../base/errors.ts";
import { buildInfo } from "../base/build-info.ts";
import { NEWEST_API } from "../client/connection.ts";
import { systemVersion } from "../client/system.ts";
import type { SystemVersion } from "../wire/engine-api.ts";
import { command } from "./command.ts";
import { contextName } from "./connect.ts";
import { string } from "./flags.ts";
import { goField } from "./go-field.ts";

/** Architectures by the names that Go has for them. */
export const GO_ARCH: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

/** `version`: shows the versions of client and server. */
export const version = command({
  usage: "[OPTIONS]",
  args: 0,
  flags: { format: string("How to show them: 'json' or a Go template", "f") },
  async run({ flags, app }) {
    const build = buildInfo();
    const Client = {
      Version: build.version,
      ApiVersion: NEWEST_API,
      DefaultAPIVersion: NEWEST_API,
      GitCommit: build.commit,
      GoVersion: `bun${Bun.version}`,
      Os: process.platform,
      Arch: GO_ARCH[process.arch] ?? process.arch,
      BuildTime: build.time,
      Context: contextName(app),
    };
    let Server: SystemVersion | null = null;
    let failure: unknown;
    try {
      const connection = await app.connection();
      Server = await systemVersion(connection);
      Client.ApiVersion = connection.version;
    } catch (error) {
      failure = error;
    }
    app.out(await render({ Client, Server }, flags.format));
    if (failure === undefined) return 0;
    app.err(`${messageOf(failure)}\n`);
    return 1;
  },
});

interface Versions {
  Client: Record<string, string>;
  Server: SystemVersion | null;
}

async function render(versions: Versions, format: string): Promise<string> {
  if (format === "json") return `${JSON.stringify(versions)}\n`;
  if (format === "") return clientText(versions.Client) + (versions.Server ? serverText(versions.Server) : "");
  const { compileTemplate } = await import("./template.ts");
  try {
    const missing = (field: string): string => `can't evaluate field ${field} in type system.versionInfo`;
    return `${compileTemplate(format, { missing, alias: goField })(versions)}\n`;
  } catch (error) {
    throw new LighterError("invalid", `template parsing error: ${messageOf(error)}`, { cause: error });
  }
}

const line = (name: string, value: string, indent = 1): string => `${" ".repeat(indent)}${`${name}:`.padEnd(20 - indent)}${value}\n`;

function clientText(client: Record<string, string>): string {
  const { ApiVersion = "", DefaultAPIVersion = "" } = client;
  return [
    "Client:\n",
    line("Version", client["Version"] ?? ""),
    line("API version", ApiVersion === DefaultAPIVersion ? ApiVersion : `${ApiVersion} (downgraded from ${DefaultAPIVersion})`),
    line("Go version", client["GoVersion"] ?? ""),
    line("Git commit", client["GitCommit"] ?? ""),
    line("Built", buildTime(client["BuildTime"] ?? "")),
    line("OS/Arch", `${client["Os"]}/${client["Arch"]}`),
    line("Context", client["Context"] ?? ""),
  ].join("");
}

function serverText(server: SystemVersion): string {
  const components = server.Components ?? [];
  let text = `\nServer:${server.Platform?.Name ? ` ${server.Platform.Name}` : ""}\n`;
  for (const { Name, Version, Details } of components) {
    const details = (Details ?? {}) as Record<string, string>;
    text += ` ${Name}:\n${line("Version", Version ?? "", 2)}`;
    if (Name !== "Engine") {
      text += line("GitCommit", details["GitCommit"] ?? "", 2);
      continue;
    }
    text += line("API version", `${details["ApiVersion"]} (minimum version ${details["MinAPIVersion"]})`, 2);
    text += line("Go version", details["GoVersion"] ?? "", 2) + line("Git commit", details["GitCommit"] ?? "", 2);
    text += line("Built", buildTime(details["BuildTime"] ?? ""), 2) + line("OS/Arch", `${details["Os"]}/${details["Arch"]}`, 2);
    text += line("Experimental", details["Experimental"] ?? "false", 2);
  }
  return text;
}

/** `Fri May 30 12:07:14 2025` for an RFC 3339 time; anything else as it is. */
function buildTime(text: string): string {
  const date = new Date(text);
  if (!/^\d{4}-/.test(text) || Number.isNaN(date.getTime())) return text;
  const [day = "", month = "", date2 = "", year = "", time = ""] = date
    .toUTCString()
    .replace(",", "")
    .split(" ")
    .map((_, at, all) => all[[0, 2, 1, 3, 4][at] ?? 0] ?? "");
  return `${day} ${month} ${String(Number(date2)).padStart(2)} ${time} ${year}`;
}
