import { messageOf } from "../base/errors.ts";
import type { Context } from "./context.ts";
import { learn, mayAsk } from "./egress.ts";
import { isLimited } from "./egress-places.ts";
import { hostResolvConf, parseResolvConf, withNameDefaults } from "./files.ts";
import { hasNames } from "./names.ts";
import { startResolver } from "./resolver.ts";
import { type EndpointRow, endpointsOf, networkById } from "./rows.ts";

/** Whether a container is in a network where names are known, or has to ask us which of them it may reach, so that it gets a resolver. */
export function wantsResolver(context: Context, endpoints: readonly EndpointRow[]): boolean {
  return endpoints.some(({ network }) => hasNames(networkById(context.state, network))) || isLimited(context.state, endpoints);
}

/** Starts a container's resolver in its namespace; false, with a warning, where that cannot be done. */
export async function openResolver(context: Context, container: string, namespace: number | string): Promise<boolean> {
  closeResolver(context, container);
  try {
    const sockets = await context.kernel.do("resolver", namespace);
    const resolver = startResolver(sockets, {
      lookup: (name, type) => context.names.lookup(container, name, type),
      mayAsk: (name) => mayAsk(context, container, name),
      learn: (name, answer) => learn(context, container, name, answer),
      servers: () => serversOf(context, container),
    });
    context.resolvers.set(container, resolver);
    return true;
  } catch (error) {
    context.log.warn("container {container} gets no names of others: {error}", { container, error: messageOf(error) });
    return false;
  }
}

/** Whom to ask for a container as it is connected now: its own name servers, else the host's. Internal networks have no way out, not by questions either. */
function serversOf(context: Context, container: string): string[] {
  const places = endpointsOf(context.state, container).filter(({ config }) => config.state === "active");
  if (!places.some(({ network }) => networkById(context.state, network)?.config.internal === false)) return [];
  const asked = [...new Set(places.flatMap(({ config }) => config.dns ?? []))];
  return asked.length > 0 ? asked : parseResolvConf(withNameDefaults(hostResolvConf(), context.options.defaults ?? {})).servers;
}

/** Ends a container's resolver, if it has one. */
export function closeResolver(context: Context, container: string): void {
  context.resolvers.get(container)?.close();
  context.resolvers.delete(container);
}
