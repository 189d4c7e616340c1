import { isIP } from "node:net";
import { hostnameOf } from "./hosts.ts";
import { isInNetwork } from "./proxy.ts";

/** Milliseconds that a look-up may take before the registry counts as what its name says. */
const PATIENCE = 2_000;

/** Whether a host's name leads into one of the networks of `insecure-registries`: as in Docker, one address is enough. Asks no name server where there is no network. */
export async function resolvesIntoInsecure(host: string, insecure: readonly string[]): Promise<boolean> {
  const networks = insecure.filter((entry) => isIP(entry.split("/")[0] ?? "") !== 0 && entry.includes("/"));
  const name = hostnameOf(host);
  if (networks.length === 0 || isIP(name) !== 0) return false;
  const late = Promise.withResolvers<[]>();
  const timer = setTimeout(late.resolve, PATIENCE, []);
  const addresses = await Promise.race([Bun.dns.lookup(name).catch(() => []), late.promise]);
  clearTimeout(timer);
  return addresses.some(({ address }) => networks.some((network) => isInNetwork(address, network)));
}
