import type { App } from "./app.ts";
import { DEFAULT_SOCKET } from "./connect.ts";

/** The keys of `proxies` in docker's configuration and the variables that they set in containers. */
const VARIABLES: Readonly<Record<string, string>> = {
  httpProxy: "HTTP_PROXY",
  httpsProxy: "HTTPS_PROXY",
  noProxy: "NO_PROXY",
  ftpProxy: "FTP_PROXY",
  allProxy: "ALL_PROXY",
};

/** Proxy variables that the configuration wants in containers of this daemon, in upper and lower case. */
export function proxyVariables(app: App): Record<string, string> {
  const { proxies } = app.config;
  if (!proxies) return {};
  const host = app.globals.host[0] ?? process.env["DOCKER_HOST"] ?? `unix://${DEFAULT_SOCKET}`;
  const chosen = proxies[host] ?? proxies["default"] ?? {};
  const variables: Record<string, string> = {};
  for (const [key, value] of Object.entries(chosen)) {
    const name = VARIABLES[key];
    if (name === undefined || value === "") continue;
    variables[name] = value;
    variables[name.toLowerCase()] = value;
  }
  return variables;
}
