import { accessSync, constants, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { App } from "./app.ts";
import { DEFAULT_SOCKET } from "./connect.ts";

const SYSTEM_FOLDERS = [
  "/usr/local/lib/docker/cli-plugins",
  "/usr/local/libexec/docker/cli-plugins",
  "/usr/lib/docker/cli-plugins",
  "/usr/libexec/docker/cli-plugins",
];
const PLUGIN_NAME = /^[a-z][a-z0-9]*$/;

/** The file of a plugin of docker's command line, from its folders in order; undefined where it is not installed. */
export function findPlugin(app: App, name: string): string | undefined {
  if (!PLUGIN_NAME.test(name)) return undefined;
  return pluginFolders(app)
    .map((folder) => join(folder, `docker-${name}`))
    .find(isExecutable);
}

function pluginFolders(app: App): string[] {
  const home = join(process.env["HOME"] || homedir(), ".docker");
  return [...(app.config.cliPluginsExtraDirs ?? []), join(app.folder, "cli-plugins"), join(home, "cli-plugins"), ...SYSTEM_FOLDERS];
}

/** The names of all plugins that are installed. */
export function installedPlugins(app: App): string[] {
  const names = pluginFolders(app).flatMap((folder) => {
    try {
      return readdirSync(folder).flatMap((file) => (file.startsWith("docker-") ? [file.slice("docker-".length)] : []));
    } catch {
      return [];
    }
  });
  return [...new Set(names)].filter((name) => findPlugin(app, name) !== undefined).sort();
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs a plugin (`compose`, `buildx`) in place of a command that does not exist, with an environment in which it finds our
 * daemon and this program. Says docker's sentence where there is none.
 * @param words the whole command line, global flags included: plugins parse them anew
 */
export async function runPlugin(app: App, name: string, words: string[]): Promise<number> {
  const path = findPlugin(app, name);
  if (path === undefined) {
    const { unknownCommand } = await import("./unknown-command.ts");
    return unknownCommand(app, name);
  }
  const env: NodeJS.ProcessEnv = { ...process.env, DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND: process.execPath };
  const chosen =
    app.globals.host.length > 0 || app.globals.context !== "" || env["DOCKER_HOST"] || env["DOCKER_CONTEXT"] || app.config.currentContext;
  if (!chosen) {
    env["DOCKER_HOST"] = `unix://${DEFAULT_SOCKET}`;
    await wakeDaemon(app);
  }
  // Ctrl-C on the terminal reaches the plugin by itself; what others send to us goes on to it.
  const child = Bun.spawn([path, ...words], { env, stdin: "inherit", stdout: "inherit", stderr: "inherit" });
  const ignore = (): void => {};
  process.on("SIGINT", ignore);
  process.on("SIGQUIT", ignore);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  process.on("SIGHUP", () => child.kill("SIGHUP"));
  return child.exited;
}

/** A plugin talks to the daemon by itself: it must be there before. A failure is the plugin's to tell. */
async function wakeDaemon(app: App): Promise<void> {
  await (await app.connection()).negotiate().then(
    () => undefined,
    () => undefined,
  );
}
