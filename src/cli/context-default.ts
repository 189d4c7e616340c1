import type { App } from "./app.ts";
import { DEFAULT_CONTEXT, DEFAULT_SOCKET } from "./connect.ts";
import { readContext, readTls, type Context, type TlsFiles } from "./contexts.ts";
import { LighterError } from "../base/errors.ts";

/** What docker shows in place of the folders of the context that is none. */
export const IN_MEMORY = "<IN MEMORY>";

/** The context that stands for the environment: DOCKER_HOST, or our own daemon. It exists in no file. */
export function defaultContext(app: App): Context {
  const Host = app.globals.host[0] ?? (process.env["DOCKER_HOST"] || `unix://${DEFAULT_SOCKET}`);
  return { Name: DEFAULT_CONTEXT, Metadata: {}, Endpoints: { docker: { Host, SkipTLSVerify: false } } };
}

/** The text that listings and copies show as the default context's description. */
export const DEFAULT_DESCRIPTION = "Current DOCKER_HOST based configuration";

/** A context by its name with its TLS files, `default` included. Throws `not-found` with docker's text. */
export function anyContext(app: App, name: string): { context: Context; tls: TlsFiles } {
  if (name === DEFAULT_CONTEXT) return { context: defaultContext(app), tls: {} };
  return { context: readContext(app.folder, name), tls: readTls(app.folder, name) };
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/;

/** Throws `invalid` with docker's texts for a name that a context cannot have. */
export function checkContextName(name: string): void {
  if (name === "") throw new LighterError("invalid", "context name cannot be empty");
  if (name === DEFAULT_CONTEXT) throw new LighterError("invalid", '"default" is a reserved context name');
  if (!NAME.test(name))
    throw new LighterError(
      "invalid",
      `context name ${JSON.stringify(name)} is invalid, names are validated against regexp ${JSON.stringify(NAME.source)}`,
    );
}
