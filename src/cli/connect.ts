import { LighterError } from "../base/errors.ts";
import { Connection, type ConnectionOptions } from "../client/connection.ts";
import { parseEndpoint, type Endpoint, type TlsOptions } from "../client/endpoint.ts";
import type { App, Globals } from "./app.ts";
import { node } from "./node.ts";

/** Where our own daemon listens. */
export const DEFAULT_SOCKET = "/run/lighter/lighter.sock";

/** The name of the context that stands for "no context". */
export const DEFAULT_CONTEXT = "default";

/** The connection that the global flags, the environment, the context and the configuration ask for, in this order. */
export async function connect(app: App): Promise<Connection> {
  const endpoint = await chooseEndpoint(app);
  const options: ConnectionOptions = { absentText: (at) => absence(app.program, at) };
  const version = process.env["DOCKER_API_VERSION"]?.replace(/^v/, "");
  if (version) options.version = version;
  if (app.config.HttpHeaders) options.headers = app.config.HttpHeaders;
  if (endpoint) return new Connection(endpoint, options);
  if (app.wake) {
    options.onAbsent = async () => {
      const { startDaemon } = await import("./start-daemon.ts");
      await startDaemon(DEFAULT_SOCKET);
    };
  }
  return new Connection({ kind: "unix", path: DEFAULT_SOCKET, text: `unix://${DEFAULT_SOCKET}` }, options);
}

function absence(program: string, at: string): string {
  const name = program === "docker" ? "Docker" : "Lighter";
  return `Cannot connect to the ${name} daemon at ${at}. Is the ${name.toLowerCase()} daemon running?`;
}

/** The endpoint that somebody asked for; undefined where our own default socket is meant. */
export async function chooseEndpoint(app: App): Promise<Endpoint | undefined> {
  const { globals } = app;
  if (globals.host.length > 1) throw unresolved("Specify only one -H");
  const flag = globals.host[0];
  if (flag !== undefined && globals.context !== "") {
    throw new LighterError("invalid", "conflicting options: cannot specify both --host and --context");
  }
  const host = flag ?? (globals.context === "" ? process.env["DOCKER_HOST"] : undefined);
  if (host) return flaggedEndpoint(host, globals, app.folder);
  const name = contextName(app);
  if (name === DEFAULT_CONTEXT) return undefined;
  const { contextEndpoint } = await import("./contexts.ts");
  return contextEndpoint(app.folder, name);
}

function flaggedEndpoint(host: string, globals: Globals, folder: string): Endpoint {
  const url = expandHost(host);
  const [scheme = ""] = url.split("://");
  if (!["unix", "tcp", "http", "https", "ssh"].includes(scheme)) throw unresolved(`invalid bind address format: ${url}`);
  return parseEndpoint(url, tlsFromFlags(globals, folder));
}

function unresolved(reason: string, cause?: unknown): LighterError {
  return new LighterError("invalid", `Failed to initialize: unable to resolve docker endpoint: ${reason}`, { cause });
}

/** The context in force: `--context`, DOCKER_CONTEXT, the configuration's, else `default`. */
export function contextName(app: App): string {
  const { globals } = app;
  if (globals.context !== "") return globals.context;
  if (globals.host.length > 0 || process.env["DOCKER_HOST"]) return DEFAULT_CONTEXT;
  return process.env["DOCKER_CONTEXT"] || app.config.currentContext || DEFAULT_CONTEXT;
}

/** Docker's short spellings: a host without a scheme is TCP, an absolute path a unix socket. */
function expandHost(text: string): string {
  const trimmed = text.trim();
  if (trimmed.includes("://")) return trimmed;
  return trimmed.startsWith("/") ? `unix://${trimmed}` : `tcp://${trimmed}`;
}

function tlsFromFlags(globals: Globals, folder: string): TlsOptions | undefined {
  const verify = globals.tlsverify || Boolean(process.env["DOCKER_TLS_VERIFY"]);
  if (!verify && !globals.tls && !process.env["DOCKER_TLS"]) return undefined;
  const certs = process.env["DOCKER_CERT_PATH"] || folder;
  const file = (flag: string, name: string): string | undefined => readIfThere(flag || node.path.join(certs, name), flag !== "");
  const ca = file(globals.tlscacert, "ca.pem");
  // To verify without a CA of one's own is not what docker does.
  if (verify && ca === undefined) throw unresolved(`open ${node.path.join(certs, "ca.pem")}: no such file or directory`);
  const cert = file(globals.tlscert, "cert.pem");
  const key = file(globals.tlskey, "key.pem");
  return { verify, ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
}

function readIfThere(path: string, required: boolean): string | undefined {
  try {
    return node.fs.readFileSync(path, "utf8");
  } catch (error) {
    if (!required) return undefined;
    throw unresolved(`open ${path}: no such file or directory`, error);
  }
}
