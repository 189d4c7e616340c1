import { LighterError } from "../base/errors.ts";
import type { PortMap } from "../wire/engine-api.ts";
import { formatAddress, parseAddress } from "./addresses.ts";

/** One wish for a host port: `hostAddress` is empty for every address of the host, `first` to `last` (both 0: any free one of the ephemeral range). */
export interface Binding {
  protocol: "tcp" | "udp" | "sctp";
  containerPort: number;
  hostAddress: string;
  first: number;
  last: number;
}

/** Docker's range for ports that nobody named. */
export const EPHEMERAL = { first: 32768, last: 60999 } as const;

/**
 * The wishes in a container's `PortBindings`, and with `publishAll` one for each exposed port that has none.
 * Throws `invalid` with Docker's texts.
 */
export function bindingsOf(request: { portBindings: PortMap; exposed: string[]; publishAll: boolean }): Binding[] {
  const wishes: Binding[] = [];
  for (const [key, list] of Object.entries(request.portBindings)) {
    const target = containerPort(key);
    for (const { HostIp = "", HostPort = "" } of list ?? [])
      wishes.push({ ...target, hostAddress: hostAddress(HostIp), ...range(HostPort) });
  }
  if (!request.publishAll) return wishes;
  for (const key of request.exposed) {
    if ((request.portBindings[key] ?? []).length === 0) wishes.push({ ...containerPort(key), hostAddress: "", first: 0, last: 0 });
  }
  return wishes;
}

/** `80/tcp` or `80`: port and protocol. */
export function containerPort(key: string): { containerPort: number; protocol: Binding["protocol"] } {
  const [number = "", protocol = "tcp"] = key.toLowerCase().split("/");
  const port = Number(number);
  if (!/^\d+$/.test(number) || port < 1 || port > 65535) throw new LighterError("invalid", `invalid port specification: "${key}"`);
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") throw new LighterError("invalid", `invalid proto: ${protocol}`);
  return { containerPort: port, protocol };
}

function hostAddress(text: string): string {
  if (text === "") return "";
  const address = parseAddress(text.replace(/^\[(.*)\]$/, "$1"));
  if (address === undefined) throw new LighterError("invalid", `invalid IP address: ${text}`);
  return formatAddress(address);
}

function range(text: string): { first: number; last: number } {
  if (text === "") return { first: 0, last: 0 };
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first > last || last > 65535) throw new LighterError("invalid", `invalid port specification: "${text}"`);
  return { first, last };
}
