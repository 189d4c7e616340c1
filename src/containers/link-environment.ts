import { type Context, current } from "./context.ts";
import { bridgeAddress } from "./link-hosts.ts";
import { linksOf } from "./link-rows.ts";
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
  if (!/^(?:1|t|true)$/i.test(environment[SWITCH] ?? "")) return [];
  return linksOf(context.needs.state, row.id).flatMap(({ child, alias }) => {
    const peer = current(context, child);
    const address = bridgeAddress(context, peer);
    if (address === undefined) return [];
    const { config } = peer.desired;
    const ports = Object.keys(config.ExposedPorts ?? {});
    return linkVariables({ alias, name: `/${row.name}/${alias}`, address, ports, env: config.Env ?? [] });
  });
}
