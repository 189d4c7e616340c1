import { logOf } from "../base/log.ts";
import type { Told } from "./routes.ts";

/** One line for each request that the network sent; failures of ours as warnings. */
export function logAccess({ route, call, response, started }: Told, address: string | undefined): void {
  const { request, url, visitor } = call;
  const line = definedOf({
    method: request.method,
    path: `${url.pathname}${url.search}`,
    status: response.status,
    route,
    client: address,
    user: visitor.user,
    bytes: Number(response.headers.get("content-length") ?? 0) || undefined,
    milliseconds: Math.round(performance.now() - started),
    agent: request.headers.get("user-agent") ?? undefined,
  });
  const log = logOf("registry");
  if (response.status >= 500) log.warn("{method} {path} {status}", line);
  else log.info("{method} {path} {status}", line);
}

function definedOf(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
