import { type Context, find } from "./context.ts";
import { networkRequest } from "./network-request.ts";
import type { ContainerRow } from "./rows.ts";

/** Docker gives these variables since 29 only where its daemon was started with this one; what they tell of others is better asked of DNS. */
const SWITCH = "DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS";

/** A container that another one is linked to, as its variables tell of it. */
export interface Linked {
  alias: string;
  /** `/child/alias`. */
  name: string;
  address: string;
  /** `80/tcp`. */
  ports: string[];
  env: readonly string[];
}

/** The variables of legacy links: `ALIAS_PORT_80_TCP_ADDR` and its like, ports in order, and the other container's own. https://docs.docker.com/engine/network/links/ */
export function linkVariables({ alias, name, address, ports, env }: Linked): string[] {
  const prefix = alias.toUpperCase().replaceAll("-", "_");
  const sorted = ports.map(portOf).sort((a, b) => a.number - b.number || (a.protocol === "tcp" ? -1 : 1));
  const [first] = sorted;
  return [
    ...(first === undefined ? [] : [`${prefix}_PORT=${first.protocol}://${address}:${first.number}`]),
    `${prefix}_NAME=${name}`,
    ...sorted.flatMap(({ number, protocol }) => {
      const key = `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
      return [`${key}=${protocol}://${address}:${number}`, `${key}_ADDR=${address}`, `${key}_PORT=${number}`, `${key}_PROTO=${protocol}`];
    }),
    ...env.filter((variable) => /^(?!HOME=|PATH=)[^=]+=/.test(variable)).map((variable) => `${prefix}_ENV_${variable}`),
  ];
}

function portOf(text: string): { number: number; protocol: string } {
  const [number = "0", protocol = "tcp"] = text.split("/");
  return { number: Number(number), protocol };
}

/** The variables of all legacy links of a container on the default bridge; none where they are not asked for. */
export function linkEnvironment(context: Context, row: ContainerRow, environment: NodeJS.ProcessEnv = process.env): string[] {
  const links = row.desired.hostConfig.Links ?? [];
  if (links.length === 0 || !/^(?:1|t|true)$/i.test(environment[SWITCH] ?? "")) return [];
  return links.flatMap((link) => {
    const [other = "", alias = other] = link.split(":");
    const peer = find(context, other);
    const { networks } = context.needs.networks.settings(context.needs.state, peer.id, networkRequest(peer));
    const address = networks["bridge"]?.IPAddress;
    if (!address) return [];
    const { config } = peer.desired;
    const ports = Object.keys(config.ExposedPorts ?? {});
    return linkVariables({ alias, name: `/${row.name}/${alias}`, address, ports, env: config.Env ?? [] });
  });
}

/** Legacy links as inspect shows them: `/other:/container/alias`. */
export function shownLinks(context: Context, row: ContainerRow): string[] | undefined {
  const { Links: links, NetworkMode } = row.desired.hostConfig;
  if (!links?.length || (NetworkMode !== "bridge" && NetworkMode !== "default")) return links;
  return links.map((link) => {
    const [other = "", alias = other] = link.split(":");
    return `/${nameOf(context, other)}:/${row.name}/${alias}`;
  });
}

function nameOf(context: Context, other: string): string {
  try {
    return find(context, other).name;
  } catch {
    return other.replace(/^\//, "");
  }
}
