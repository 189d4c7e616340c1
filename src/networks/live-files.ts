import { readFile, writeFile } from "node:fs/promises";
import { messageOf } from "../base/errors.ts";
import type { Context } from "./context.ts";
import { changedHosts, isUntouched, withResolver } from "./files.ts";
import { openResolver, wantsResolver } from "./resolve.ts";
import { RESOLVER } from "./resolver-sockets.ts";
import { type EndpointRow, endpointsOf } from "./rows.ts";

/**
 * After a running container has joined a network or left one: its addresses in /etc/hosts, and where it has come to know names by it, our resolver in
 * /etc/resolv.conf. Lines that are not ours stay as they are, and so does a resolv.conf that somebody has written to. What fails is logged.
 */
export async function refreshFiles(
  context: Context,
  { container, pid }: { container: string; pid: number },
  change: { joined?: EndpointRow; left?: EndpointRow },
): Promise<void> {
  const endpoints = endpointsOf(context.state, container).filter(({ config }) => config.state === "active");
  const { hosts, resolvConf } = context.needs.files(container);
  try {
    await rewrite(hosts, (text) =>
      changedHosts(text, {
        hostname: (change.joined ?? change.left)?.config.hostname ?? "",
        known: endpoints.filter(({ id }) => id !== change.joined?.id).flatMap(addressesIn),
        add: change.joined === undefined ? [] : addressesIn(change.joined),
        remove: change.left === undefined ? [] : addressesIn(change.left),
      }),
    );
    if (context.resolvers.has(container) || !wantsResolver(context, endpoints)) return;
    if (!(await openResolver(context, container, `/proc/${pid}/ns/net`))) return;
    await rewrite(resolvConf, (text) => (isUntouched(text) ? withResolver(text, RESOLVER) : text));
  } catch (error) {
    context.log.warn("cannot tell container {container} of its networks: {error}", { container, error: messageOf(error) });
  }
}

function addressesIn({ address4, address6 }: EndpointRow): string[] {
  return [address4, address6].filter((address) => address !== undefined);
}

/** In place: the file is mounted into the container. */
async function rewrite(path: string, change: (text: string) => string): Promise<void> {
  const before = await readFile(path, "utf8");
  const after = change(before);
  if (after !== before) await writeFile(path, after);
}
